/* A cloud z = mu + sigma * epsilon on a bent target, and what two estimators of the same gradient make of the same samples. */

const { announcer, button, choice, clamp, color, el, fontOf, pad, player, prefersCalm, randomness, rgb, scheduler, show, slider } = kit;

// ---- The problem -----------------------------------------------------------------------------------------------------------

const LOG_2PI = Math.log(2 * Math.PI);
const RANGE = { x: [-3, 3], y: [-3.1, 2.5] };
const SCALES = [0.1, 1.5];
const MOST = 100; // samples
const REPEATS = 100; // averages of other noise, shown as dots
const RATE = 0.02; // of a step, as in the chapter
const FIRST = { mu: [-0.6, -2.1], sigma: [Math.exp(-1), Math.exp(-1)] };

// f(z) = log p(x, z) for one pixel x = 1 that sees z_2 + z_1^2 / 2 with noise of scale 0.5, and its slope.
const CONSTANT = -1.5 * LOG_2PI - Math.log(0.5);
const f = (a, b) => CONSTANT - 0.5 * (a * a + b * b) - 2 * (1 - b - 0.5 * a * a) ** 2;
const slope = (a, b) => {
  const pull = 4 * (1 - b - 0.5 * a * a);
  return [pull * a - a, pull - b];
};

// What one sample says about the gradient in mu_1, mu_2, log sigma_1, log sigma_2.
const estimators = {
  pathwise([e1, e2], { mu, sigma }) {
    const [d1, d2] = slope(mu[0] + sigma[0] * e1, mu[1] + sigma[1] * e2);
    return [d1, d2, d1 * sigma[0] * e1, d2 * sigma[1] * e2];
  },
  score([e1, e2], { mu, sigma }) {
    const value = f(mu[0] + sigma[0] * e1, mu[1] + sigma[1] * e2);
    return [(value * e1) / sigma[0], (value * e2) / sigma[1], value * (e1 * e1 - 1), value * (e2 * e2 - 1)];
  },
};
const KINDS = Object.keys(estimators);
const NAMES = { pathwise: "Pathwise", score: "Score function" };
const COLORS = { pathwise: "vae", score: "score" };

const sampleAt = ({ mu, sigma }, epsilon) => mu.map((value, i) => value + sigma[i] * epsilon[i]);

function averageOf(kind, noise, state) {
  const total = [0, 0, 0, 0];
  for (const epsilon of noise) estimators[kind](epsilon, state).forEach((value, i) => (total[i] += value / noise.length));
  return total;
}

// Expectations over epsilon, by the trapezoidal rule in two dimensions: for a polynomial, exact to rounding.
const nodes = [];
for (let i = -18; i <= 18; i++) {
  for (let j = -18; j <= 18; j++) nodes.push({ epsilon: [i / 2, j / 2], weight: Math.exp(-(i * i + j * j) / 8) / (8 * Math.PI) });
}

function exact(state) {
  const found = {};
  for (const kind of KINDS) {
    const mean = [0, 0, 0, 0];
    let square = 0;
    for (const { epsilon, weight } of nodes) {
      const sample = estimators[kind](epsilon, state);
      for (let k = 0; k < 4; k++) mean[k] += weight * sample[k];
      square += weight * (sample[0] * sample[0] + sample[1] * sample[1]);
    }
    // Of the vector (mu_1, mu_2): the root of the sum of both variances, for one sample.
    found[kind] = { mean, sd: Math.sqrt(square - mean[0] ** 2 - mean[1] ** 2) };
  }
  const { sigma } = state;
  const entropy = 1 + LOG_2PI + Math.log(sigma[0] * sigma[1]);
  found.bound = entropy + nodes.reduce((total, { epsilon, weight }) => total + weight * f(...sampleAt(state, epsilon)), 0);
  return found;
}

// A step up the bound along estimated slopes: f on average, and the entropy, whose slope in log sigma is 1.
const uphill = ({ mu, sigma }, slopes) => ({
  mu: mu.map((value, i) => value + RATE * slopes[i]),
  sigma: sigma.map((value, i) => value * Math.exp(RATE * (slopes[2 + i] + 1))),
});

const inRange = ({ mu, sigma }) => ({
  mu: [clamp(mu[0], RANGE.x), clamp(mu[1], RANGE.y)],
  sigma: sigma.map((value) => clamp(value, SCALES)),
});

const pairs = (random, count) => Array.from({ length: count }, () => [random.normal(), random.normal()]);

// ---- The pictures ----------------------------------------------------------------------------------------------------------

const NATS = 8; // an arrow as long as a unit of the plane is a slope of so many nats

// The target's density in six steps, as an image that is made once for each size and theme.
const sheets = new Map();
function target(width, tall, own) {
  const ink = rgb(color(own, "ink"));
  const ratio = window.devicePixelRatio || 1;
  const key = [width, tall, ratio, ink].join();
  if (!sheets.has(key)) {
    if (sheets.size > 3) sheets.clear();
    const sheet = el("canvas", { width: Math.round(width * ratio), height: Math.round(tall * ratio) });
    const context = sheet.getContext("2d");
    const image = context.createImageData(sheet.width, sheet.height);
    const top = Math.exp(f(0, 0.8)); // the highest point, where the slope is zero
    for (let row = 0, at = 0; row < sheet.height; row++) {
      const b = RANGE.y[1] - ((row + 0.5) / sheet.height) * (RANGE.y[1] - RANGE.y[0]);
      for (let column = 0; column < sheet.width; column++, at += 4) {
        const a = RANGE.x[0] + ((column + 0.5) / sheet.width) * (RANGE.x[1] - RANGE.x[0]);
        const level = Math.ceil(Math.min((6 * Math.exp(f(a, b))) / top + 0.85, 6.99)) - 1;
        image.data.set([...ink, 14 * level], at);
      }
    }
    context.putImageData(image, 0, 0);
    sheets.set(key, sheet);
  }
  return sheets.get(key);
}

function arrow(context, [x0, y0], [x1, y1], head) {
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  const length = Math.hypot(x1 - x0, y1 - y0);
  if (length < head) return;
  const [u, v] = [((x1 - x0) / length) * head, ((y1 - y0) / length) * head];
  context.moveTo(x1 - u - 0.5 * v, y1 - v + 0.5 * u);
  context.lineTo(x1, y1);
  context.lineTo(x1 - u + 0.5 * v, y1 - v - 0.5 * u);
}

function drawGround(context, width, tall, own) {
  context.drawImage(target(width, tall, own), 0, 0, width, tall);
  context.font = fontOf(own, 15, "italic");
  context.fillStyle = color(own, "quiet");
  context.fillText("z₁", width - 22, tall - 10);
  context.fillText("z₂", 8, 20);
  context.lineCap = context.lineJoin = "round";
}

/* The samples with their arrows, the trails so far, the averages of other noise, and the average of this. */
function drawCloud(context, toScreen, own, kind, { state, noise, others, trails }) {
  const [hue, ink] = [color(own, COLORS[kind]), color(own, "ink")];
  const along = ([x, y], [u, v]) => toScreen([x + u / NATS, y + v / NATS]);
  context.beginPath();
  for (const epsilon of noise) {
    const z = sampleAt(state, epsilon);
    arrow(context, toScreen(z), along(z, estimators[kind](epsilon, state)), 4);
  }
  context.strokeStyle = hue;
  context.globalAlpha = kind === "score" ? 0.4 : 0.55;
  context.lineWidth = 1.2;
  context.stroke();
  context.globalAlpha = 1;

  for (const [other, points] of Object.entries(trails)) {
    context.beginPath();
    points.forEach((point) => context.lineTo(...toScreen(point)));
    context.strokeStyle = color(own, COLORS[other]);
    context.lineWidth = 2.5;
    context.stroke();
  }

  context.fillStyle = hue;
  for (const epsilon of noise) {
    const [left, top] = toScreen(sampleAt(state, epsilon));
    context.beginPath();
    context.arc(left, top, 3, 0, 2 * Math.PI);
    context.fill();
  }

  context.fillStyle = ink;
  for (const other of others) {
    const [left, top] = along(state.mu, averageOf(kind, other.slice(0, noise.length), state));
    context.fillRect(left - 1.2, top - 1.2, 2.4, 2.4);
  }

  context.beginPath();
  arrow(context, toScreen(state.mu), along(state.mu, averageOf(kind, noise, state)), 11);
  context.strokeStyle = color(own, "paper");
  context.lineWidth = 8;
  context.stroke();
  context.strokeStyle = ink;
  context.lineWidth = 4;
  context.stroke();
}

// ---- The words -------------------------------------------------------------------------------------------------------------

/* What the numbers say, as parts of a sentence. */
function comparison({ pathwise, score, bound }) {
  const ratio = score.sd / pathwise.sd;
  const times = ratio * ratio < 10 ? show(ratio * ratio, 1) : String(Math.round(ratio * ratio));
  return [
    "The exact gradient is ", el("b", {}, `(${show(pathwise.mean[0], 1)}, ${show(pathwise.mean[1], 1)})`),
    ". Around it, the score function’s average scatters ", el("b", {}, show(ratio, 1)), " times as far: it needs ",
    el("b", {}, times), " times as many samples to be as good. Bound: ", el("b", {}, show(bound)), " nats.",
  ];
}

function legend() {
  const key = (kind, text) => el("span", { class: `x-key-${kind}` }, text);
  return el("p", { class: "x-legend x-marks" }, key("one", "what one sample says"), key("mean", "their average"), key("dots", "averages of other samples"), "Slopes are in nats per unit of z.");
}

// ---- The explorer ----------------------------------------------------------------------------------------------------------

define("cloud", (_, root) => {
  let seed = 4;
  let noise = pairs(randomness(seed), MOST);
  const others = Array.from({ length: REPEATS }, (_, k) => pairs(randomness(1000 + k), MOST));
  let state = FIRST;
  let count = 60;
  let trails = {};
  let climber = "pathwise";
  const samples = () => noise.slice(0, count);

  const values = Object.fromEntries(KINDS.map((kind) => [kind, { now: el("b"), sd: el("b") }]));
  const verdict = el("p", { class: "x-readout x-verdict" });
  const spoken = announcer();
  const refresh = scheduler(() => {
    const found = exact(state);
    for (const kind of KINDS) {
      const [a, b] = averageOf(kind, samples(), state);
      values[kind].now.textContent = `(${show(a, 1)}, ${show(b, 1)})`;
      values[kind].sd.textContent = show(found[kind].sd / Math.sqrt(count));
    }
    verdict.replaceChildren(...comparison(found));
    if (!run.isRunning) spoken.say(verdict.textContent);
  });

  const planes = Object.fromEntries(KINDS.map((kind) => [kind, pad({
    label: `Center of the cloud, ${NAMES[kind].toLowerCase()}`,
    range: RANGE,
    point: state.mu,
    color: COLORS[kind],
    draw(context, toScreen, width, tall, own) {
      drawGround(context, width, tall, own);
      drawCloud(context, toScreen, own, kind, { state, noise: samples(), others, trails });
    },
    onMove(mu, byReader) {
      if (!byReader) return;
      run.stop();
      trails = {};
      set({ ...state, mu });
    },
  })]));
  const scales = [0, 1].map((i) => slider({
    label: el("span", {}, "scale ", el("i", {}, i ? "σ₂" : "σ₁")),
    min: Math.log(SCALES[0]).toFixed(3),
    max: Math.log(SCALES[1]).toFixed(3),
    step: 0.001,
    format: (log) => show(Math.exp(log)),
    onInput(log) {
      run.stop();
      set({ ...state, sigma: state.sigma.map((value, k) => (k === i ? Math.exp(log) : value)) });
    },
  }));
  const dial = slider({
    label: el("span", {}, "samples ", el("i", {}, "L")),
    min: 1, max: MOST, step: 1, value: count, format: String,
    onInput(value) {
      count = value;
      set(state);
    },
  });

  function set(to) {
    state = inRange(to);
    scales.forEach((control, i) => (control.value = Math.log(state.sigma[i])));
    for (const kind of KINDS) planes[kind].point = state.mu;
    refresh();
  }
  function renew() {
    noise = pairs(randomness(++seed), MOST);
    set(state);
  }

  // Along the arrow that is shown; then new noise.
  function climb() {
    const last = (trails[climber] ||= []).at(-1);
    if (!last || last[0] !== state.mu[0] || last[1] !== state.mu[1]) trails[climber] = [state.mu];
    set(uphill(state, averageOf(climber, samples(), state)));
    trails[climber].push(state.mu);
    renew();
  }

  // A dozen steps a second, a hundred of them; twenty at once for readers who prefer less motion.
  const run = player("Run", () => {
    if (prefersCalm()) {
      for (let step = 0; step < 20; step++) climb();
      return null;
    }
    let left = 100;
    const timer = setInterval(() => {
      climb();
      if (--left === 0) run.stop();
    }, 80);
    return () => {
      clearInterval(timer);
      refresh();
    };
  });
  const standing = (label, action) => button(label, () => { run.stop(); action(); });

  const panel = (kind) => el("section", { class: `x-panel x-${COLORS[kind]}`, "aria-label": NAMES[kind] },
    el("h4", {}, NAMES[kind]),
    el("div", { class: "x-plane x-target" }, planes[kind].element),
    el("p", { class: "x-figures" },
      el("span", {}, "average ", values[kind].now), el("span", {}, "standard deviation ", values[kind].sd)),
  );

  root.explorer = {
    set, climb, renew,
    get state() {
      const estimates = Object.fromEntries(KINDS.map((kind) => [kind, averageOf(kind, samples(), state)]));
      return { ...state, count, noise: samples(), estimates, exact: exact(state), trails };
    },
    f, slope,
  };
  set(state);
  return [
    el("p", { class: "x-note x-cloud-note" }, "The gradient in ", el("i", {}, "μ"), ", estimated twice from the same samples. Drag the cloud."),
    el("div", { class: "x-panels" }, KINDS.map(panel)),
    el("div", { class: "x-row x-climb" },
      el("div", { class: "x-row x-tools" },
        el("span", { "aria-hidden": "true" }, "Climb by"),
        choice("Climb by", { pathwise: "pathwise", score: "score function" }, climber, (kind) => { climber = kind; }),
      ),
      el("div", { class: "x-row x-tools" },
        standing("Step uphill", climb),
        run.element,
        standing("Start over", () => set(FIRST)),
      ),
      standing("New noise", renew),
    ),
    verdict,
    el("div", { class: "x-scales" }, ...scales.map((control) => control.element), dial.element),
    legend(),
    spoken.element,
  ];
});
