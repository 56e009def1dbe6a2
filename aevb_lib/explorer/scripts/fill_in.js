/* A digit, partly covered, and what the model with two latent dimensions thinks is there: draws of the posterior given the pixels that can be seen. */
const { PIXELS, SIDE, announcer, button, canvas, choice, clamp, color, digitPicker, el, picture, randomness, scheduler, show, sigmoid, slices, slider } = kit;

const CELLS = 64; // per axis: the plane of codes is cut into squares, and the code in the middle of each stands for it
const REACH = 3.5;
const WIDTH = (2 * REACH) / CELLS;
const CODES = CELLS * CELLS;

/* Cells are counted row by row from the top left. */
const codeOf = (cell) => [-REACH + ((cell % CELLS) + 0.5) * WIDTH, REACH - (Math.floor(cell / CELLS) + 0.5) * WIDTH];

/* log of the prior's mass in each cell, N(0, I) at its middle times its area. */
const logPrior = Float64Array.from({ length: CODES }, (_, cell) => {
  const [a, b] = codeOf(cell);
  return 2 * Math.log(WIDTH) - Math.log(2 * Math.PI) - (a * a + b * b) / 2;
});

const black = (pixels) => Float32Array.from(pixels, (value) => (value >= 0.5 ? 1 : 0));

/* The decoder's answers for all cells: logits, and for each line of pixels, across or down, the sum of log(1 - y). */
function makeTable(model) {
  const table = { logits: new Float32Array(CODES * PIXELS), rows: new Float32Array(CODES * SIDE), columns: new Float32Array(CODES * SIDE) };
  table.decode = (cell) => {
    const logits = model.logits(codeOf(cell));
    table.logits.set(logits, cell * PIXELS);
    for (let i = 0; i < PIXELS; i++) {
      const none = -Math.max(logits[i], 0) - Math.log1p(Math.exp(-Math.abs(logits[i])));
      table.rows[cell * SIDE + Math.floor(i / SIDE)] += none;
      table.columns[cell * SIDE + (i % SIDE)] += none;
    }
  };
  return table;
}

/* log p(line | z) of an image's lines, across and down, for all cells: white pixels add their logit. */
function logLikelihoods({ logits, rows, columns }, x) {
  const ink = [...x.keys()].filter((i) => x[i]);
  const lines = { rows: rows.slice(), columns: columns.slice() };
  for (let cell = 0; cell < CODES; cell++) {
    for (const i of ink) {
      const logit = logits[cell * PIXELS + i];
      lines.rows[cell * SIDE + Math.floor(i / SIDE)] += logit;
      lines.columns[cell * SIDE + (i % SIDE)] += logit;
    }
  }
  return lines;
}

/* Bayes' rule on the cells, given the lines `from` to `to`: weights that sum to one, log p(those lines), and KL(posterior || prior). */
function posterior(lines, from, to) {
  const weights = new Float64Array(CODES);
  let highest = -Infinity;
  for (let cell = 0; cell < CODES; cell++) {
    let value = logPrior[cell];
    for (let line = from; line < to; line++) value += lines[cell * SIDE + line];
    weights[cell] = value;
    highest = Math.max(highest, value);
  }
  const logJoint = weights.slice();
  let total = 0;
  for (let cell = 0; cell < CODES; cell++) total += weights[cell] = Math.exp(weights[cell] - highest);
  const logEvidence = highest + Math.log(total);
  let information = 0;
  for (let cell = 0; cell < CODES; cell++) {
    weights[cell] /= total;
    if (weights[cell]) information += weights[cell] * (logJoint[cell] - logEvidence - logPrior[cell]);
  }
  return { weights, logEvidence, information };
}

/* The cell at which the weights have added up to u. */
function cellAt(weights, u) {
  let left = u;
  const cell = weights.findIndex((weight) => (left -= weight) < 0);
  return cell < 0 ? weights.length - 1 : cell;
}

/* The plane: how probable each code is, and the draws. */
function drawPlane(context, size, own, weights, drawn) {
  const sheet = el("canvas", { width: CELLS, height: CELLS });
  const pen = sheet.getContext("2d");
  const image = pen.createImageData(CELLS, CELLS);
  const highest = Math.max(...weights);
  weights.forEach((weight, cell) => (image.data[4 * cell + 3] = 255 * Math.sqrt(weight / highest))); // the root, so that faint ones show
  pen.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(sheet, 0, 0, size, size);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = color(own, "vae");
  context.fillRect(0, 0, size, size);
  context.globalCompositeOperation = "source-over";
  context.strokeStyle = color(own, "quiet");
  for (const mass of [0.5, 0.9]) {
    context.beginPath();
    context.arc(size / 2, size / 2, (Math.sqrt(-2 * Math.log(1 - mass)) / (2 * REACH)) * size, 0, 2 * Math.PI);
    context.stroke();
  }
  context.fillStyle = color(own, "ink");
  context.strokeStyle = color(own, "paper");
  for (const cell of drawn) {
    const [a, b] = codeOf(cell);
    context.beginPath();
    context.arc(((a + REACH) / (2 * REACH)) * size, ((REACH - b) / (2 * REACH)) * size, 2.6, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }
}

define("fill-in", ({ digits, map }, root) => {
  const DRAWS = 12;
  const SIDES = { bottom: "bottom", top: "top", left: "left", right: "right" };

  const random = randomness(1);
  const table = makeTable(map.vae);
  let decoded = 0;
  let moved = true;
  let side = "bottom";
  let covered = 16;
  let uniforms = [];
  let [x, lines, now, logWhole, drawn] = [null, null, null, 0, []];
  const drawAgain = () => (uniforms = Array.from({ length: DRAWS }, random.uniform));

  const across = () => side === "left" || side === "right";
  const isCovered = (i) => {
    const line = across() ? i % SIDE : Math.floor(i / SIDE);
    return side === "top" || side === "left" ? line < covered : line >= SIDE - covered;
  };

  /* A picture under a cover; where the cover is, style variables say. */
  const framed = (image, name) => el("div", { class: "x-framed" }, image.element, el("span", { class: name, "aria-hidden": "true" }));
  const whole = picture("The whole digit, black and white");
  const seen = picture("What can be seen of it", { class: "x-picture x-seen" });
  const draws = Array.from({ length: DRAWS }, (_, k) => picture(`The digit filled in, draw ${k + 1}`));
  const readout = el("p", { class: "x-readout" });
  const spoken = announcer();
  const plane = canvas((context, width, _, own) => now && drawPlane(context, width, own, now.weights, drawn), { class: "x-map", role: "img", "aria-label": "The plane of codes" });

  function cover() {
    const share = `${(100 * covered) / SIDE}%`;
    const box = across() ? ["100%", share] : [share, "100%"];
    root.style.setProperty("--cover-height", box[0]);
    root.style.setProperty("--cover-width", box[1]);
    root.style.setProperty("--cover-top", side === "bottom" ? `calc(100% - ${share})` : "0%");
    root.style.setProperty("--cover-left", side === "right" ? `calc(100% - ${share})` : "0%");
  }
  const paint = scheduler(() => {
    cover();
    seen.draw(x.map((value, i) => (isCovered(i) ? 0 : value)));
    if (decoded < CODES) {
      readout.textContent = `Decoding ${CODES.toLocaleString("en")} codes: ${Math.floor((100 * decoded) / CODES)} %`;
      return;
    }
    if (!lines) {
      lines = logLikelihoods(table, x);
      logWhole = posterior(lines.rows, 0, SIDE).logEvidence;
    }
    const from = side === "top" || side === "left" ? covered : 0;
    now = posterior(across() ? lines.columns : lines.rows, from, from + SIDE - covered);
    drawn = uniforms.map((u) => cellAt(now.weights, u));
    drawn.forEach((cell, k) => {
      const logits = table.logits.subarray(cell * PIXELS, (cell + 1) * PIXELS);
      draws[k].draw(x.map((value, i) => (isCovered(i) ? sigmoid(logits[i]) : value)));
    });
    const words = `The pixels that can be seen say ${show(now.information, 1)} nats about the code. They give the covered ones log p = ${show(logWhole - now.logEvidence, 1)} nats.`;
    readout.textContent = words;
    plane.element.setAttribute("aria-label", "The plane of codes: where the posterior is, and twelve draws of it");
    plane.paint();
    if (root.matches(":focus-within")) spoken.say(words);
    moved = false;
  });
  function update() {
    moved = true;
    paint();
  }

  const work = slices(CODES, (cell) => {
    table.decode(cell);
    decoded++;
    if (decoded % 256 === 0) update();
  }, 10);

  const dial = slider({ label: "Covered lines", min: 0, max: SIDE, step: 1, value: covered, format: (value) => `${value} of ${SIDE}`, onInput(value) {
    covered = value;
    update();
  } });
  const sides = choice("Covered from", SIDES, side, (value) => {
    side = value;
    update();
  });
  const drag = ({ buttons, clientX, clientY }) => {
    if (!buttons) return;
    const box = seen.element.getBoundingClientRect();
    const share = across() ? (clientX - box.left) / box.width : (clientY - box.top) / box.height;
    const line = Math.round(SIDE * clamp(share, [0, 1]));
    dial.value = covered = side === "top" || side === "left" ? line : SIDE - line;
    update();
  };
  seen.element.addEventListener("pointerdown", (event) => {
    seen.element.setPointerCapture(event.pointerId);
    drag(event);
  });
  seen.element.addEventListener("pointermove", drag);
  const pick = (digit) => {
    [x, lines] = [black(digit.pixels), null];
    whole.draw(x);
    update();
  };
  const picker = digitPicker(digits, pick, { start: 9 });
  drawAgain();
  pick(picker.current);
  work();

  root.explorer = {
    get state() {
      return { x, side, covered, uniforms, drawn, ...now, logWhole, images: draws.map((one) => one.pixels), done: !moved };
    },
  };
  return [
    picker.element,
    el("div", { class: "x-row x-dial" }, dial.element, sides, button("New draws", () => {
      drawAgain();
      update();
    })),
    el("div", { class: "x-filling" },
      el("div", { class: "x-given" },
        el("div", {}, whole.element, el("p", { class: "x-note" }, "the digit")),
        el("div", {}, framed(seen, "x-cover"), el("p", { class: "x-note" }, "what the model sees")),
      ),
      el("div", { class: "x-plane" }, plane.element),
      el("div", { class: "x-draws" }, draws.map((one) => framed(one, "x-edge"))),
    ),
    readout,
    el("p", { class: "x-note x-explained" }, "Blue: codes by their posterior probability, given the pixels that can be seen. Dots: twelve draws; beside them, what each puts under the cover. Circles hold 50 and 90 % of the prior."),
    spoken.element,
  ];
});
