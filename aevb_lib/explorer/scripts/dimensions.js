/* A code of many dimensions, dimension by dimension: what the encoder answers, what the decoder makes of it, and what it costs. */

const { announcer, average, button, canvas, choice, color, digitPicker, el, fontOf, klPerDimension, load, logLikelihood, picture, randomness, scheduler, show, sigmoid, sketch, sum, waitForDirection } = kit;

const REACH = 4; // sliders go from -REACH to REACH, where nearly all of the prior is
const IDLE = 0.01; // nats, on average over test images: less is next to nothing
const IDLE_SHOWN = 6;
const FIRST_SAMPLES = 20;
const PER_FRAME = 5; // samples, so that a frame stays short
const FULL_BAR = 5; // nats

// ---- One image under one model: the encoder's answer, codes, and samples of the bound ---------------------------------------

class Answer {
  constructor(model, x, random) {
    this.model = model;
    this.x = x;
    this.random = random;
    this.q = model.encode(x);
    this.kl = klPerDimension(this.q);
    this.klOfImage = sum(this.kl);
    this.atMean = this.valueAt(this.q.mean).logLikelihood - this.klOfImage;
    this.estimates = []; // log p(x|z) - KL for z ~ q: their average estimates the ELBO
  }

  valueAt(code) {
    const logits = this.model.logits(code);
    return { logLikelihood: logLikelihood(this.x, logits), image: logits.map(sigmoid) };
  }

  /* Draw a code from q, and keep what it says of the bound. */
  sample() {
    const code = this.q.mean.map((mean, j) => mean + this.q.sd[j] * this.random.normal());
    this.estimates.push(this.valueAt(code).logLikelihood - this.klOfImage);
    return code;
  }

  /* The average of the samples, with its standard error. */
  get elbo() {
    const n = this.estimates.length;
    const mean = average(this.estimates);
    const variance = sum(this.estimates.map((value) => (value - mean) ** 2)) / (n - 1);
    return { n, mean, error: Math.sqrt(variance / n) };
  }
}

// Which dimensions the image set uses most, and which next to none.
function ranked(kl) {
  const order = Array.from(kl.keys()).sort((a, b) => kl[b] - kl[a]);
  const active = order.filter((j) => kl[j] >= IDLE);
  return { active, idle: order.slice(active.length) };
}

// ---- The strip: every sample a stroke, their average a bar, the present code a point, on an axis that stays put for one image --

function drawStripAxis(context, width, own, at, [low, high], base) {
  context.lineWidth = 1;
  context.strokeStyle = color(own, "line");
  context.fillStyle = color(own, "quiet");
  context.font = fontOf(own);
  context.textAlign = "center";
  context.beginPath();
  for (let tick = Math.ceil(low / 10) * 10; tick <= high; tick += 10) {
    const left = at(tick);
    context.moveTo(left, base);
    context.lineTo(left, base + 4);
    if (left > 20 && left < width - 20) context.fillText(show(tick, 0), left, base + 18);
  }
  context.moveTo(0, base);
  context.lineTo(width, base);
  context.stroke();
}

function drawStrip(context, width, own, answer, present) {
  const [low, high] = [answer.atMean - 40, answer.atMean + 6];
  const at = (value) => 4 + ((value - low) / (high - low)) * (width - 8);
  const [middle, base] = [15, 30];
  drawStripAxis(context, width, own, at, [low, high], base);
  context.strokeStyle = color(own, "vae");
  context.globalAlpha = answer.estimates.length > 60 ? 0.35 : 0.6;
  context.beginPath();
  for (const value of answer.estimates) {
    context.moveTo(at(value), middle - 7);
    context.lineTo(at(value), middle + 7);
  }
  context.stroke();
  context.globalAlpha = 1;
  if (answer.estimates.length) {
    context.fillStyle = color(own, "ink");
    context.fillRect(at(average(answer.estimates)) - 1.5, 2, 3, base - 4);
  }
  const point = at(present);
  context.fillStyle = color(own, "vae");
  context.strokeStyle = color(own, "paper");
  context.lineWidth = 2;
  context.beginPath();
  if (point < 7) { // farther to the left than the axis goes
    context.moveTo(1, middle);
    context.lineTo(12, middle - 7);
    context.lineTo(12, middle + 7);
    context.closePath();
  } else context.arc(Math.min(point, width - 7), middle, 6, 0, 2 * Math.PI);
  context.stroke();
  context.fill();
}

// ---- The pictures, the sums and the sliders -----------------------------------------------------------------------------------

const i = (text) => el("i", {}, text);
const latentDim = (D) => [i("D"), ` = ${D}`];
const nats = (value) => `${show(value, 1)} nats`;

function triple() {
  const pictures = {
    image: picture("The image x"),
    decoded: picture("What the VAE decodes from the code z"),
    autoencoder: picture("What the autoencoder decodes from its code of x"),
  };
  const size = el("span", { class: "x-note" });
  const framed = (shown, kind, ...caption) => el("div", { class: `x-panel ${kind}` }, shown.element, el("p", {}, caption));
  const element = el("div", { class: "x-triple" },
    framed(pictures.image, "", "Image ", i("x")),
    framed(pictures.decoded, "x-vae", el("b", {}, "VAE"), " at ", i("z"), size),
    framed(pictures.autoencoder, "x-autoencoder", el("b", {}, "Auto\u00adencoder"), el("span", { class: "x-note" }, latentDim(20))),
  );
  return { ...pictures, element, size };
}

const ORIGINS = { mean: "= at the mean code", sample: "= one-sample estimate", reader: "= at your code" };

function sums() {
  const values = { autoencoder: el("span"), logLikelihood: el("span"), kl: el("span"), difference: el("span"), elbo: el("span") };
  const [originName, elboName] = [el("span"), el("span")];
  const line = (value, ...name) => el("p", {}, el("span", {}, name), value);
  const logP = (model) => ["log ", i("p"), "(", i("x"), " | ", i("z"), `), ${model}`];
  return {
    element: el("div", { class: "x-sums" },
      line(values.autoencoder, ...logP("autoencoder")),
      line(values.logLikelihood, ...logP("VAE")),
      line(values.kl, "− KL(", i("q"), "(", i("z"), " | ", i("x"), ") ‖ ", i("p"), "(", i("z"), "))"),
      line(values.difference, el("span", { class: "x-key x-key-now" }), originName),
      line(values.elbo, el("span", { class: "x-key x-key-mean" }), elboName),
    ),
    showAutoencoder(value) {
      values.autoencoder.textContent = nats(value);
    },
    showCode(value, kl, origin) {
      values.logLikelihood.textContent = nats(value);
      values.kl.textContent = nats(kl);
      values.difference.textContent = nats(value - kl);
      originName.textContent = ORIGINS[origin];
    },
    showElbo({ n, mean, error }) {
      elboName.textContent = `ELBO (${n} samples)`;
      values.elbo.textContent = `${show(mean, 1)} ± ${show(error, 1)} nats`;
    },
  };
}

/* The slider of dimension j, the one that ranks so high. onMove(value) */
function dimension(j, rank, onMove) {
  const input = el("input", { type: "range", min: -REACH, max: REACH, step: 0.05 });
  waitForDirection(input);
  const value = el("span", { class: "x-value", "aria-hidden": "true" });
  const cost = el("span", { class: "x-value x-note" });
  const bar = el("span", { class: "x-cost" });
  const track = el("span", { class: "x-track" }, input);
  const share = (number) => (number + REACH) / (2 * REACH);
  let q = null;
  const write = (number) => {
    value.textContent = show(number);
    input.setAttribute("aria-valuetext", `${show(number)}, ${show((number - q.mean[j]) / q.sd[j], 1)} sigma from the mean`);
  };
  input.addEventListener("input", () => {
    write(Number(input.value));
    onMove(j, Number(input.value));
  });
  return {
    element: el("label", { class: "x-dimension" },
      el("span", {}, i("z"), el("sub", {}, String(rank))), track, value, el("span", { class: "x-hidden" }, " KL "), bar, cost),
    /* Show what the encoder says of the image: where the code should be, how exactly, and at what cost. */
    answer(answer) {
      q = answer.q;
      track.style.setProperty("--mean", share(q.mean[j]));
      track.style.setProperty("--sd", q.sd[j] / (2 * REACH));
      cost.textContent = show(answer.kl[j]);
      bar.style.setProperty("--share", Math.min(answer.kl[j] / FULL_BAR, 1));
    },
    follow(z) {
      input.value = z[j]; // rounded there, not in z
      write(z[j]);
    },
  };
}

/* Sliders of the active dimensions, most used first, and of a few idle ones. -> {rows, parts} */
function dimensionList(kl, onMove) {
  const { active, idle } = ranked(kl);
  const rows = [...active, ...idle.slice(0, IDLE_SHOWN)].map((j, k) => dimension(j, k + 1, onMove));
  const list = el("div", { class: "x-dimensions" }, rows.slice(0, active.length).map((row) => row.element));
  // On a narrow page, the most important ones and a button for the others.
  const more = button(`Show all ${active.length}`, () => {
    const open = list.classList.toggle("x-open");
    more.textContent = open ? "Show fewer" : `Show all ${active.length}`;
    more.setAttribute("aria-expanded", String(open));
  }, { class: "x-button x-more", "aria-expanded": "false" });
  const parts = [list, more];
  if (idle.length) {
    parts.push(
      el("p", { class: "x-note" }, `The other ${idle.length} are idle: less than ${IDLE} nats each, on average over test images. Their bands are nearly the prior’s, and moving them does next to nothing.`),
      el("div", { class: "x-dimensions x-open" }, rows.slice(active.length).map((row) => row.element)),
      el("p", { class: "x-note" }, `… and ${idle.length - IDLE_SHOWN} more, all idle.`),
    );
  }
  return { rows, parts };
}

/* A table to draw a digit on, and the button that opens it. onDraw(pixels) -> {element, opener, close} */
function drawingTable(onDraw) {
  const sheet = sketch(onDraw);
  const element = el("div", { class: "x-row x-drawing", hidden: true }, sheet.element,
    el("div", { class: "x-stack" },
      el("p", {}, "Draw a digit. The encoder sees it centered and scaled, as MNIST’s digits are."),
      el("div", {}, button("Clear", () => sheet.clear())),
    ),
  );
  const open = (isOpen) => {
    element.hidden = !isOpen;
    opener.setAttribute("aria-expanded", String(isOpen));
  };
  const opener = button("Draw one", () => open(element.hidden), { "aria-expanded": "false" });
  return {
    element,
    opener,
    close() {
      open(false);
      sheet.clear();
    },
  };
}

// ---- The explorer ---------------------------------------------------------------------------------------------------------------

define("dimensions", (data, root) => {
  const random = randomness(1);
  const autoencoder = data["autoencoder-d020"].model;
  let source = data["vae-d020"]; // {model, kl, …}
  let rows = [];

  // The image, the answer to it, the present code, and how it came about: "mean", "sample" or "reader".
  let x = null;
  let answer = null;
  let z = null;
  let origin = "mean";
  let now = { logLikelihood: 0, image: null };
  let pending = 0;

  const pictures = triple();
  const numbers = sums();
  const spoken = announcer();
  const strip = canvas((context, width, height, own) => {
    if (answer) drawStrip(context, width, own, answer, now.logLikelihood - answer.klOfImage);
  }, { class: "x-strip", role: "img", "aria-label": "On an axis in nats: samples of log p(x|z) minus KL, their average, and the present code" });

  const paint = scheduler(() => {
    const { klOfImage } = answer;
    now = answer.valueAt(z);
    pictures.decoded.draw(now.image);
    numbers.showCode(now.logLikelihood, klOfImage, origin);
    strip.paint();
    if (root.matches(":focus-within")) spoken.say(`log p of x given z ${nats(now.logLikelihood)}, minus KL ${nats(klOfImage)}, ${ORIGINS[origin]} ${nats(now.logLikelihood - klOfImage)}`);
  });
  const takeSamples = scheduler(() => {
    for (const until = Math.max(pending - PER_FRAME, 0); pending > until; pending--) answer.sample();
    showElbo();
    if (pending) takeSamples();
  });
  function showElbo() {
    if (answer.estimates.length < 2) return;
    numbers.showElbo(answer.elbo);
    strip.paint();
  }

  // A new image, or a new model for it.
  function encode() {
    answer = new Answer(source.model, x, random);
    pending = FIRST_SAMPLES;
    rows.forEach((row) => row.answer(answer));
    const logits = autoencoder.logits(autoencoder.encode(x).mean);
    pictures.image.draw(x);
    pictures.autoencoder.draw(logits.map(sigmoid));
    numbers.showAutoencoder(logLikelihood(x, logits));
    goTo(answer.q.mean, "mean");
    takeSamples();
  }
  const encodeSoon = scheduler(encode);
  function goTo(code, how) {
    z = Float32Array.from(code);
    origin = how;
    rows.forEach((row) => row.follow(z));
    paint();
  }

  const sliders = el("div", { class: "x-vae", role: "group", "aria-label": "The code z, dimension by dimension" });
  function buildRows() {
    const list = dimensionList(source.kl, (j, value) => {
      z[j] = value;
      origin = "reader";
      paint();
    });
    rows = list.rows;
    sliders.replaceChildren(...list.parts);
    pictures.size.replaceChildren(...latentDim(source.kl.length));
  }

  function choose(pixels, label) {
    x = pixels;
    pictures.image.element.setAttribute("aria-label", `The image x: ${label}`);
  }
  const table = drawingTable((pixels) => {
    picker.clear();
    choose(pixels, "your drawing, centered and scaled as MNIST’s digits are");
    encodeSoon();
  });
  const pick = ({ pixels, label }) => {
    choose(pixels, `a test digit, ${label}`);
    encode();
  };
  const picker = digitPicker(data.digits, (digit) => {
    table.close();
    pick(digit);
  }, { start: 2, extra: table.opener });

  const trouble = el("p", { role: "status" });
  const size = choice("Dimensions of the VAE", { 20: "20 dimensions", 200: "200 dimensions" }, "20", async (chosen) => {
    trouble.textContent = "";
    const found = await load(chosen === "20" ? "vae-d020" : "vae-d200").catch(() => null);
    const radio = (value) => size.querySelector(`[value="${value}"]`);
    if (!radio(chosen).checked) return; // changed again meanwhile
    if (!found) {
      radio(source.kl.length).checked = true;
      trouble.textContent = "The weights of this model could not be loaded.";
      return;
    }
    source = found;
    buildRows();
    encode();
  });

  root.explorer = {
    get state() {
      const { q, klOfImage, estimates } = answer;
      return { x, z, mean: q.mean, sd: q.sd, kl: klOfImage, origin, logLikelihood: now.logLikelihood, decoded: now.image, estimates, pending };
    },
  };
  buildRows();
  pick(picker.current);
  const tools = el("div", { class: "x-row x-tools" },
    button("Mean code", () => goTo(answer.q.mean, "mean")),
    button("Sample", () => {
      const code = answer.sample();
      showElbo();
      goTo(code, "sample");
    }),
    button("100 more", () => {
      pending += 100;
      takeSamples();
    }, { "aria-label": "100 more samples for the ELBO" }),
  );
  return [
    picker.element,
    table.element,
    el("div", { class: "x-bench" }, pictures.element, el("div", { class: "x-stack" }, numbers.element, strip.element, tools)),
    el("div", { class: "x-row x-choose" }, size,
      el("p", { class: "x-note" }, "Those that carry most on average first. ", el("span", { class: "x-band" }), " μ ± σ and ± 2σ of ", i("q"), "(", i("z"), " | ", i("x"), "); at the right, KL of this image in nats."),
    ),
    trouble,
    sliders,
    spoken.element,
  ];
});
