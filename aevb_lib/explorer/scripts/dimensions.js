/* A code of many dimensions, dimension by dimension: what the encoder answers, what the decoder makes of it, and what it costs. */
define("dimensions", (data, root) => {
  const REACH = 4; // sliders go from -REACH to REACH, where nearly all of the prior is
  const IDLE = 0.01; // nats, on average over test images: less is next to nothing
  const IDLE_SHOWN = 6;
  const FIRST_SAMPLES = 20;
  const PER_FRAME = 5; // samples, so that a frame stays short
  const FULL_BAR = 5; // nats

  const random = randomness(1);
  const autoencoder = data["autoencoder-d020"].model;
  let source = data["vae-d020"]; // {model, kl, …}
  let rows = [];

  // The image, the encoder's answer, the present code, and how it came about: "mean", "sample" or "reader".
  let x = null;
  let q = null;
  let klOfImage = 0;
  let z = null;
  let origin = "mean";
  let now = { logLikelihood: 0, image: null };
  let atMean = 0;
  let estimates = []; // log p(x|z) - KL for z ~ q: their average estimates the ELBO
  let pending = 0;

  const valueAt = (code) => {
    const logits = source.model.logits(code);
    return { logLikelihood: logLikelihood(x, logits), image: logits.map(sigmoid) };
  };
  const sampleCode = () => q.mean.map((mean, j) => mean + q.sd[j] * random.normal());

  // ---- Pictures ----------------------------------------------------------------------------------------------------------

  const pictures = {
    image: picture("The image x"),
    decoded: picture("What the VAE decodes from the code z"),
    autoencoder: picture("What the autoencoder decodes from its code of x"),
  };
  const latentDim = (D) => [el("i", {}, "D"), ` = ${D}`];
  const dimensionsOfVAE = el("span", { class: "x-note" });
  const framed = (shown, kind, ...caption) => el("div", { class: `x-panel ${kind}` }, shown.element, el("p", {}, caption));
  const triple = el("div", { class: "x-triple" },
    framed(pictures.image, "", "Image ", el("i", {}, "x")),
    framed(pictures.decoded, "x-vae", el("b", {}, "VAE"), " at ", el("i", {}, "z"), dimensionsOfVAE),
    framed(pictures.autoencoder, "x-autoencoder", el("b", {}, "Auto\u00adencoder"), el("span", { class: "x-note" }, latentDim(20))),
  );

  // ---- Numbers -----------------------------------------------------------------------------------------------------------

  const values = { autoencoder: el("span"), logLikelihood: el("span"), kl: el("span"), difference: el("span"), elbo: el("span") };
  const originName = el("span");
  const elboName = el("span");
  const line = (value, ...name) => el("p", {}, el("span", {}, name), value);
  const logP = (model) => ["log ", el("i", {}, "p"), "(", el("i", {}, "x"), " | ", el("i", {}, "z"), `), ${model}`];
  const sums = el("div", { class: "x-sums" },
    line(values.autoencoder, ...logP("autoencoder")),
    line(values.logLikelihood, ...logP("VAE")),
    line(values.kl, "− KL(", el("i", {}, "q"), "(", el("i", {}, "z"), " | ", el("i", {}, "x"), ") ‖ ", el("i", {}, "p"), "(", el("i", {}, "z"), "))"),
    line(values.difference, el("span", { class: "x-key x-key-now" }), originName),
    line(values.elbo, el("span", { class: "x-key x-key-mean" }), elboName),
  );
  const ORIGINS = { mean: "= at the mean code", sample: "= one-sample estimate", reader: "= at your code" };
  const nats = (value) => `${show(value, 1)} nats`;

  function average() {
    const n = estimates.length;
    const mean = estimates.reduce((sum, value) => sum + value, 0) / n;
    const variance = estimates.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
    return { n, mean, error: Math.sqrt(variance / n) };
  }

  // Every sample a stroke, their average a bar, the present code a point, on an axis that stays put for one image.
  const strip = canvas((context, width, height, own) => {
    if (!x) return;
    const [low, high] = [atMean - 40, atMean + 6];
    const at = (value) => 4 + ((value - low) / (high - low)) * (width - 8);
    const [middle, base] = [15, 30];
    context.lineWidth = 1;
    context.strokeStyle = color(own, "line");
    context.fillStyle = color(own, "quiet");
    context.font = `15px ${getComputedStyle(own).fontFamily}`;
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
    context.strokeStyle = color(own, "vae");
    context.globalAlpha = estimates.length > 60 ? 0.35 : 0.6;
    context.beginPath();
    for (const value of estimates) {
      context.moveTo(at(value), middle - 7);
      context.lineTo(at(value), middle + 7);
    }
    context.stroke();
    context.globalAlpha = 1;
    if (estimates.length) {
      context.fillStyle = color(own, "ink");
      context.fillRect(at(average().mean) - 1.5, 2, 3, base - 4);
    }
    const point = at(now.logLikelihood - klOfImage);
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
  }, { class: "x-strip", role: "img", "aria-label": "On an axis in nats: samples of log p(x|z) minus KL, their average, and the present code" });

  const spoken = announcer();

  // ---- Drawing again, at most once per frame -----------------------------------------------------------------------------

  const paint = scheduler(() => {
    now = valueAt(z);
    pictures.decoded.draw(now.image);
    const difference = now.logLikelihood - klOfImage;
    values.logLikelihood.textContent = nats(now.logLikelihood);
    values.kl.textContent = nats(klOfImage);
    values.difference.textContent = nats(difference);
    originName.textContent = ORIGINS[origin];
    strip.paint();
    if (root.matches(":focus-within")) spoken.say(`log p of x given z ${nats(now.logLikelihood)}, minus KL ${nats(klOfImage)}, ${ORIGINS[origin]} ${nats(difference)}`);
  });

  const takeSamples = scheduler(() => {
    for (const until = Math.max(pending - PER_FRAME, 0); pending > until; pending--) {
      estimates.push(valueAt(sampleCode()).logLikelihood - klOfImage);
    }
    showAverage();
    if (pending) takeSamples();
  });
  function showAverage() {
    if (estimates.length < 2) return;
    const { n, mean, error } = average();
    elboName.textContent = `ELBO (${n} samples)`;
    values.elbo.textContent = `${show(mean, 1)} ± ${show(error, 1)} nats`;
    strip.paint();
  }

  // A new image, or a new model for it.
  function encode() {
    q = source.model.encode(x);
    const kl = klPerDimension(q);
    klOfImage = kl.reduce((sum, value) => sum + value, 0);
    rows.forEach((row) => row.answer(kl));
    [estimates, pending] = [[], FIRST_SAMPLES];
    atMean = valueAt(q.mean).logLikelihood - klOfImage;
    const logits = autoencoder.logits(autoencoder.encode(x).mean);
    pictures.image.draw(x);
    pictures.autoencoder.draw(logits.map(sigmoid));
    values.autoencoder.textContent = nats(logLikelihood(x, logits));
    goTo(q.mean, "mean");
    takeSamples();
  }
  const encodeSoon = scheduler(encode);

  function goTo(code, how) {
    z = Float32Array.from(code);
    origin = how;
    rows.forEach((row) => row.follow());
    paint();
  }

  // ---- The sliders -------------------------------------------------------------------------------------------------------

  function dimension(j, rank) {
    const input = el("input", { type: "range", min: -REACH, max: REACH, step: 0.05 });
    const value = el("span", { class: "x-value", "aria-hidden": "true" });
    const cost = el("span", { class: "x-value x-note" });
    const bar = el("span", { class: "x-cost" });
    const track = el("span", { class: "x-track" }, input);
    const write = () => {
      value.textContent = show(z[j]);
      input.setAttribute("aria-valuetext", `${show(z[j])}, ${show((z[j] - q.mean[j]) / q.sd[j], 1)} sigma from the mean`);
    };
    input.addEventListener("input", () => {
      z[j] = Number(input.value);
      origin = "reader";
      write();
      paint();
    });
    const share = (number) => (number + REACH) / (2 * REACH);
    return {
      element: el("label", { class: "x-dimension" },
        el("span", {}, el("i", {}, "z"), el("sub", {}, String(rank))), track, value, el("span", { class: "x-hidden" }, " KL "), bar, cost),
      /* Show what the encoder says of the image: where the code should be, how exactly, and at what cost. */
      answer(kl) {
        track.style.setProperty("--mean", share(q.mean[j]));
        track.style.setProperty("--sd", q.sd[j] / (2 * REACH));
        cost.textContent = show(kl[j]);
        bar.style.setProperty("--share", Math.min(kl[j] / FULL_BAR, 1));
      },
      follow() {
        input.value = z[j]; // rounded there, not in z
        write();
      },
    };
  }

  const sliders = el("div", { class: "x-vae", role: "group", "aria-label": "The code z, dimension by dimension" });

  function buildRows() {
    const order = Array.from(source.kl.keys()).sort((a, b) => source.kl[b] - source.kl[a]);
    const active = order.filter((j) => source.kl[j] >= IDLE);
    const idle = order.slice(active.length);
    const shown = [...active, ...idle.slice(0, IDLE_SHOWN)];
    rows = shown.map((j, i) => dimension(j, i + 1));
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
    sliders.replaceChildren(...parts);
    dimensionsOfVAE.replaceChildren(...latentDim(order.length));
  }

  // ---- What the reader chooses -------------------------------------------------------------------------------------------

  const sheet = sketch((pixels) => {
    picker.clear();
    choose(pixels, "your drawing, centered and scaled as MNIST’s digits are");
    encodeSoon();
  });
  const table = el("div", { class: "x-row x-drawing", hidden: true }, sheet.element,
    el("div", { class: "x-stack" },
      el("p", {}, "Draw a digit. The encoder sees it centered and scaled, as MNIST’s digits are."),
      el("div", {}, button("Clear", () => sheet.clear())),
    ),
  );
  const openTable = (open) => {
    table.hidden = !open;
    drawOne.setAttribute("aria-expanded", String(open));
  };
  const drawOne = button("Draw one", () => openTable(table.hidden), { "aria-expanded": "false" });
  function choose(pixels, label) {
    x = pixels;
    pictures.image.element.setAttribute("aria-label", `The image x: ${label}`);
  }
  const pick = ({ pixels, label }) => {
    choose(pixels, `a test digit, ${label}`);
    encode();
  };
  const picker = digitPicker(data.digits, (digit) => {
    openTable(false);
    sheet.clear();
    pick(digit);
  }, { start: 2, extra: drawOne });

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
      return { x, z, mean: q.mean, sd: q.sd, kl: klOfImage, origin, logLikelihood: now.logLikelihood, decoded: now.image, estimates, pending };
    },
  };
  buildRows();
  pick(picker.current);
  return [
    picker.element,
    table,
    el("div", { class: "x-bench" },
      triple,
      el("div", { class: "x-stack" },
        sums,
        strip.element,
        el("div", { class: "x-row x-tools" },
          button("Mean code", () => goTo(q.mean, "mean")),
          button("Sample", () => {
            const code = sampleCode();
            estimates.push(valueAt(code).logLikelihood - klOfImage);
            showAverage();
            goTo(code, "sample");
          }),
          button("100 more", () => {
            pending += 100;
            takeSamples();
          }, { "aria-label": "100 more samples for the ELBO" }),
        ),
      ),
    ),
    el("div", { class: "x-row x-choose" }, size,
      el("p", { class: "x-note" }, "Most informative first. ", el("span", { class: "x-band" }), " μ ± σ and ± 2σ of ", el("i", {}, "q"), "(", el("i", {}, "z"), " | ", el("i", {}, "x"), "); at the right, KL in nats."),
    ),
    trouble,
    sliders,
    spoken.element,
  ];
});
