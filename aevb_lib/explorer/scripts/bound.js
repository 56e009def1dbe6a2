/* The evidence of one x, a fixed number, split into the bound and its gap while the reader moves a normal q. */

const { announcer, button, canvas, choice, clamp, color, el, fontOf, minus, pad, prefersCalm, scheduler, show, slider, sum } = kit;

// ---- The problems: in both, evidence, bound and gap are found in three separate ways, so that bound + gap = evidence is no
// tautology. reconstruction(q) is E_q[log p(x|z)], in closed form; `parts` of the axis are searched apart for the best q. ------

const LOG_2PI = Math.log(2 * Math.PI);
const SCALES = [0.2, 2.5]; // of q
const PRIOR = { mean: 0, sd: 1 };

const logNormal = (z, mean, sd) => -0.5 * (LOG_2PI + ((z - mean) / sd) ** 2) - Math.log(sd);
const density = (z, { mean, sd }) => Math.exp(logNormal(z, mean, sd));
const height = (sd) => 1 / (sd * Math.sqrt(2 * Math.PI)); // of the top of a bell

// KL(q || p) of two normals, in two parts: what the mean costs, and what the width costs.
function divergence(q, p) {
  const ratio = q.sd / p.sd;
  return [0.5 * ((q.mean - p.mean) / p.sd) ** 2, 0.5 * (ratio * ratio - 1) - Math.log(ratio)];
}

const bound = (problem, q) => problem.reconstruction(q) - sum(divergence(q, PRIOR));

// The trapezoidal rule, which is exact to many digits for smooth functions that vanish at both ends.
function integral(f, low, high, steps) {
  const width = (high - low) / steps;
  let total = 0.5 * (f(low) + f(high));
  for (let i = 1; i < steps; i++) total += f(low + i * width);
  return width * total;
}

// Three pixels that all look at the same z, with noise of scale 1: the posterior is N(1.2, 0.5^2).
function line() {
  const x = [2.1, 1.4, 1.3];
  const precision = 1 + x.length;
  const posterior = { mean: sum(x) / precision, sd: 1 / Math.sqrt(precision) };
  const squares = sum(x.map((value) => value * value));
  return {
    range: [-2.7, 4.2],
    parts: [[-2.7, 4.2]],
    evidence: -0.5 * (x.length * LOG_2PI + Math.log(precision) + squares - sum(x) ** 2 / precision),
    posterior: (z) => density(z, posterior),
    reconstruction: (q) => sum(x.map((value) => logNormal(value, q.mean, 1) - 0.5 * q.sd * q.sd)),
    gap: (q) => sum(divergence(q, posterior)),
    gapParts: (q) => divergence(q, posterior),
    first: { mean: 2.2, sd: 0.5 },
    presets: { "The prior": PRIOR, Shifted: { mean: 2.2, sd: 0.5 }, "Too narrow": { mean: 1.2, sd: 0.2 } },
  };
}

// One pixel that sees z^2, with noise: z and -z explain it equally well.
function square() {
  const [x, noise] = [1.5, 0.5];
  const logJoint = (z) => logNormal(z, 0, 1) + logNormal(x, z * z, noise);
  const evidence = Math.log(integral((z) => Math.exp(logJoint(z)), -6, 6, 2400));
  const problem = {
    range: [-3, 3],
    parts: [[-3, 0], [0, 3]],
    evidence,
    posterior: (z) => Math.exp(logJoint(z) - evidence),
    reconstruction({ mean: m, sd }) {
      const v = sd * sd;
      const fourth = m ** 4 + 6 * m * m * v + 3 * v * v; // E[z^4]
      return -0.5 * (LOG_2PI + (x * x - 2 * x * (m * m + v) + fourth) / noise ** 2) - Math.log(noise);
    },
    gap({ mean, sd }) {
      const term = (e) => density(e, PRIOR) * (logNormal(mean + sd * e, mean, sd) - logJoint(mean + sd * e) + evidence);
      return integral(term, -10, 10, 400);
    },
    first: { mean: 0.45, sd: 0.6 },
  };
  problem.presets = { "The prior": PRIOR, "Over both": search(problem, [0, 0]) };
  return problem;
}

// The highest bound: the best point of a grid over the mean and the logarithm of the scale, then a finer grid around it.
function search(problem, [low, high]) {
  const [narrow, wide] = SCALES.map(Math.log);
  let [mean, log] = [(low + high) / 2, (narrow + wide) / 2];
  let top = -Infinity;
  for (let reach = 1; reach > 1e-9; reach /= 2) {
    const [centerMean, centerLog] = [mean, log];
    for (let i = -5; i <= 5; i++) {
      for (let j = -5; j <= 5; j++) {
        const at = [centerMean + (i / 10) * reach * (high - low), centerLog + (j / 10) * reach * (wide - narrow)];
        const value = bound(problem, { mean: at[0], sd: Math.exp(at[1]) });
        if (value > top) [top, mean, log] = [value, ...at];
      }
    }
  }
  return { mean, sd: Math.exp(log) };
}

// The best q in the part of the axis where the reader's q is.
function best(problem, q) {
  problem.found ||= problem.parts.map((part) => search(problem, part));
  const at = problem.parts.findIndex(([, high]) => q.mean < high);
  return problem.found.at(at);
}

const measured = (problem, q) => ({
  ...q,
  evidence: problem.evidence,
  bound: bound(problem, q),
  gap: problem.gap(q),
  reconstruction: problem.reconstruction(q),
  fromPrior: sum(divergence(q, PRIOR)),
});

// ---- The pictures --------------------------------------------------------------------------------------------------------

const NATS = 10; // what the bar shows below the evidence

function curve(context, toScreen, [low, high], f) {
  context.beginPath();
  for (let i = 0; i <= 300; i++) {
    const z = low + (i / 300) * (high - low);
    context.lineTo(...toScreen([z, f(z)]));
  }
}

function drawAxis(context, toScreen, width, own, [low, high]) {
  const [, ground] = toScreen([0, 0]);
  context.font = fontOf(own);
  context.fillStyle = color(own, "quiet");
  context.strokeStyle = color(own, "line");
  context.textAlign = "center";
  for (let z = Math.ceil(low); z <= high; z++) {
    const [left] = toScreen([z, 0]);
    if (left < 12 || left > width - 12) continue; // a number would be cut
    context.fillRect(left, ground, 1, 5);
    context.fillText(minus(z), left, ground + 21);
  }
  context.beginPath();
  context.moveTo(0, ground);
  context.lineTo(width, ground);
  context.stroke();
  return ground;
}

function drawDensities(context, toScreen, width, own, { range, posterior }, q) {
  const ground = drawAxis(context, toScreen, width, own, range);
  context.lineWidth = 1.5;
  context.strokeStyle = color(own, "quiet");
  curve(context, toScreen, range, (z) => density(z, PRIOR));
  context.stroke();

  context.lineWidth = 2.5;
  context.strokeStyle = context.fillStyle = color(own, "vae");
  curve(context, toScreen, range, (z) => density(z, q));
  context.stroke();
  context.lineTo(width, ground);
  context.lineTo(0, ground);
  context.globalAlpha = 0.22;
  context.fill();
  context.globalAlpha = 1;

  context.lineWidth = 2;
  context.strokeStyle = color(own, "ink");
  context.setLineDash([7, 4]);
  curve(context, toScreen, range, posterior);
  context.stroke();
  context.setLineDash([]);
}

function drawBar(context, width, own, evidence, value) {
  const [top, thick, end] = [26, 40, width - 14];
  const at = (nats) => end + ((nats - evidence) / NATS) * end;
  const border = Math.max(at(value), 0);
  const fading = (name) => {
    const shade = context.createLinearGradient(0, 0, Math.min(40, end), 0);
    shade.addColorStop(0, color(own, "paper"));
    shade.addColorStop(1, color(own, name));
    return shade;
  };
  context.fillStyle = fading("vae");
  context.fillRect(0, top, border, thick);
  context.fillStyle = border ? color(own, "gap") : fading("gap");
  context.fillRect(border, top, end - border, thick);

  context.font = fontOf(own, 16);
  context.textBaseline = "middle";
  const middle = top + thick / 2 + 1;
  const name = (text, from, to, ink) => {
    context.fillStyle = ink;
    context.textAlign = "center";
    if (context.measureText(text).width + 12 < to - from) context.fillText(text, (from + to) / 2, middle);
  };
  name("bound", 20, border, color(own, "paper"));
  name(border ? "gap" : `← the bound is at ${show(value, 1)}`, border, end, color(own, "on-gap"));

  context.fillStyle = color(own, "ink");
  context.fillRect(end - 1, top - 6, 2.5, thick + 12);
  context.textAlign = "right";
  context.textBaseline = "alphabetic";
  context.font = fontOf(own);
  context.fillText("evidence", width, top - 11);

  const ground = top + thick + 6;
  context.fillStyle = color(own, "quiet");
  context.textAlign = "center";
  for (let tick = Math.ceil((evidence - NATS + 0.5) / 2) * 2; tick < evidence - 1; tick += 2) {
    context.fillRect(at(tick), ground, 1, 5);
    context.fillText(minus(tick), at(tick), ground + 21);
  }
  context.textAlign = "right";
  context.fillText("nats", width, ground + 21);
}

// ---- The words -----------------------------------------------------------------------------------------------------------

function remarkOnLine(problem, q) {
  const [mean, width] = problem.gapParts(q);
  if (mean + width < 5e-4) return "q is the posterior: the gap is closed, and the bound is the evidence.";
  return `Of the gap, ${show(mean)} nats are for the place of q and ${show(width)} for its width.`;
}

function remarkOnSquare(problem, q) {
  const gap = problem.gap(q);
  const limit = problem.gap(best(problem, q));
  problem.smallest = Math.min(problem.smallest ?? Infinity, gap);
  if (gap - limit < 5e-4) return `The best that a normal q can do: ${show(limit, 3)} nats are left. It had to choose a hump.`;
  return `No normal q closes this gap. Your smallest so far: ${show(problem.smallest, 3)} nats.`;
}

const i = (text) => el("i", {}, text);

/* The equation evidence = bound + gap, and what the bound is made of. -> {split, inside, show(values)} */
function equation() {
  const number = () => el("b", {});
  const numbers = { evidence: number(), bound: number(), gap: number(), reconstruction: number(), fromPrior: number() };
  const term = (value, name, formula, kind = "") => el("div", { class: `x-term ${kind}` }, value, el("span", {}, name), el("span", { class: "x-formula" }, formula));
  const sign = (text) => el("span", { class: "x-sign", "aria-hidden": "true" }, text);
  return {
    numbers,
    split: el("div", { class: "x-equation" },
      term(numbers.evidence, "evidence", ["log ", i("p"), "(", i("x"), ")"]), sign("="),
      term(numbers.bound, "bound", ["ℒ"], "x-is-bound"), sign("+"),
      term(numbers.gap, "gap", ["KL(", i("q"), " ‖ posterior)"], "x-is-gap"),
    ),
    inside: el("p", { class: "x-note x-inside" },
      el("span", {}, el("span", { class: "x-bound-text" }, "bound"), " ="),
      el("span", {}, numbers.reconstruction, " reconstruction E", el("sub", {}, i("q")), "[log ", i("p"), "(", i("x"), "|", i("z"), ")]"),
      el("span", {}, "− ", numbers.fromPrior, " distance from the prior KL(", i("q"), " ‖ prior)"),
    ),
    show(values) {
      for (const [name, element] of Object.entries(numbers)) element.textContent = show(values[name], 3);
    },
  };
}

function legend() {
  const key = (kind, ...text) => el("span", { class: `x-key-${kind}` }, ...text);
  return el("p", { class: "x-legend x-lines" }, key("q", i("q"), "(", i("z"), ")"), key("posterior", "posterior ", i("p"), "(", i("z"), "|", i("x"), ")"), key("prior", "prior ", i("p"), "(", i("z"), ")"));
}

// ---- The explorer --------------------------------------------------------------------------------------------------------

define("bound", (_, root) => {
  const problems = { normal: line(), humps: square() };
  const remarks = { normal: remarkOnLine, humps: remarkOnSquare };
  let posed = "normal";
  let q = problems.normal.first;
  let gliding = null;

  const words = equation();
  const remark = el("p", { class: "x-readout x-remark" });
  const spoken = announcer();
  const bar = canvas((context, width, tall, own) => drawBar(context, width, own, problems[posed].evidence, bound(problems[posed], q)),
    { class: "x-bar", role: "img", "aria-label": "A bar that ends at the evidence: first the bound, then the gap" });
  const refresh = scheduler(() => {
    words.show(measured(problems[posed], q));
    remark.textContent = remarks[posed](problems[posed], q);
    bar.paint();
    spoken.say(`Bound ${words.numbers.bound.textContent}, gap ${words.numbers.gap.textContent} nats. ${remark.textContent}`);
  });

  const plane = (problem) => pad({
    label: "The bell of q",
    range: { x: problem.range, y: [-0.3, 2.2] },
    point: [problem.first.mean, height(problem.first.sd)],
    color: "vae",
    draw: (context, toScreen, width, tall, own) => drawDensities(context, toScreen, width, own, problem, q),
    onMove([mean, top], byReader) {
      if (byReader) set({ mean, sd: height(Math.max(top, 1e-3)) }); // a bell's height and scale are found from each other alike
    },
  });
  const planes = { normal: plane(problems.normal), humps: plane(problems.humps) };
  const stage = el("div", { class: "x-plane x-densities" });
  const mean = slider({ label: el("span", {}, "mean ", i("μ")), min: -3, max: 4.2, step: 0.02, onInput: (value) => set({ ...q, mean: value }) });
  const scale = slider({
    label: el("span", {}, "scale ", i("σ")),
    min: Math.log(SCALES[0]).toFixed(3),
    max: Math.log(SCALES[1]).toFixed(3),
    step: 0.001,
    format: (log) => show(Math.exp(log)),
    onInput: (log) => set({ ...q, sd: Math.exp(log) }),
  });

  function set(to, byReader = true) {
    if (byReader) cancelAnimationFrame(gliding);
    q = { mean: clamp(to.mean, problems[posed].range), sd: clamp(to.sd, SCALES) };
    [mean.value, scale.value] = [q.mean, Math.log(q.sd)];
    planes[posed].point = [q.mean, height(q.sd)];
    refresh();
  }

  // To a q of the buttons in half a second; at once for readers who prefer less motion.
  function glide(to) {
    cancelAnimationFrame(gliding);
    const [from, start] = [q, performance.now()];
    const step = (now) => {
      const t = prefersCalm() ? 1 : clamp((now - start) / 500, [0, 1]);
      const share = t * t * (3 - 2 * t);
      set({ mean: from.mean + share * (to.mean - from.mean), sd: from.sd * (to.sd / from.sd) ** share }, false);
      if (t < 1) gliding = requestAnimationFrame(step);
      else set(to, false);
    };
    step(start);
  }

  const presets = el("div", { class: "x-row x-tools" });
  function pose(name) {
    problems[posed].last = q;
    posed = name;
    const problem = problems[name];
    stage.replaceChildren(planes[name].element);
    [mean.input.min, mean.input.max] = problem.range;
    presets.replaceChildren(
      ...Object.entries(problem.presets).map(([label, to]) => button(label, () => glide(to))),
      button("Best q", () => glide(best(problem, q))),
    );
    set(problem.last || problem.first);
  }

  root.explorer = { set, pose, get state() { return measured(problems[posed], q); } };
  pose("normal");
  return [
    el("div", { class: "x-row x-head" },
      choice("The posterior", { normal: "A normal posterior", humps: "Two humps" }, "normal", pose),
      el("p", { class: "x-note" }, "Drag the top of the blue bell."),
    ),
    stage,
    legend(),
    words.split, bar.element, words.inside,
    el("div", { class: "x-vae x-scales" }, mean.element, scale.element),
    el("div", { class: "x-row" }, presets, remark),
    spoken.element,
  ];
});
