/* What readers move: buttons, sliders, choices, a plane with a point, test digits, and a sheet to draw on. */

const button = (label, onClick, attributes = {}) =>
  el("button", { type: "button", class: "x-button", click: onClick, ...attributes }, label);

/* A button that starts something and says "Stop" while it runs. begin() starts it and returns what ends it, or nothing if it
   is done at once. -> {element, stop, isRunning} */
function player(label, begin) {
  let end = null;
  const element = button(label, () => (end ? stop() : start()));
  const mark = () => {
    element.textContent = end ? "Stop" : label;
    element.toggleAttribute("data-running", Boolean(end));
  };
  function start() {
    end = begin() || null;
    mark();
  }
  function stop() {
    if (!end) return;
    const finish = end;
    end = null;
    finish();
    mark();
  }
  return {
    element,
    stop,
    get isRunning() {
      return Boolean(end);
    },
  };
}

/* A finger that lands on a slider may be about to scroll the page, yet browsers move the thumb at once. So the old value stays until the
   finger goes sideways or is lifted where it landed; where it goes up or down, the browser takes the gesture for its own. */
function waitForDirection(input) {
  let landed = null; // {x, before, there}, while it can be either
  input.addEventListener("pointerdown", ({ pointerType, clientX }) => {
    landed = pointerType === "touch" ? { x: clientX, before: input.value, there: null } : null;
  });
  input.addEventListener("input", (event) => {
    if (!landed) return;
    event.stopImmediatePropagation();
    landed.there = input.value;
    input.value = landed.before;
  }, { capture: true });
  const settle = () => {
    const there = landed?.there;
    landed = null;
    if (there == null) return;
    input.value = there;
    input.dispatchEvent(new Event("input"));
  };
  input.addEventListener("pointermove", ({ clientX }) => landed && Math.abs(clientX - landed.x) > 6 && settle());
  input.addEventListener("pointerup", settle);
  input.addEventListener("pointercancel", () => (landed = null));
}

/* A labeled slider with its value beside it. -> {element, input, value (get and set)} */
function slider({ label, min, max, step = 0.01, value = 0, format = (v) => show(v), onInput = () => {} }) {
  const input = el("input", { type: "range", min, max, step });
  const output = el("span", { class: "x-value", "aria-hidden": "true" });
  const update = () => {
    output.textContent = format(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.value = value;
  waitForDirection(input);
  input.addEventListener("input", () => {
    update();
    onInput(Number(input.value));
  });
  update();
  return {
    element: el("label", { class: "x-slider" }, el("span", { class: "x-label" }, label), input, output),
    input,
    get value() {
      return Number(input.value);
    },
    set value(number) {
      input.value = number;
      update();
    },
  };
}

/* A choice among a few, as radio buttons that look like one switch. options: {value: text}. */
let groups = 0;
function choice(legend, options, value, onChange) {
  const name = `x-choice-${++groups}`;
  const radios = Object.entries(options).map(([key, text]) =>
    el("label", {}, el("input", { type: "radio", name, value: key, checked: key === value, change: () => onChange(key) }), el("span", {}, text)),
  );
  return el("fieldset", { class: "x-choice" }, el("legend", {}, legend), el("div", {}, radios));
}

/* A plane with one point that is dragged, or moved by the arrow keys. It stays so far from the edges that all of it is seen.
   options: label, range {x: [low, high], y: [low, high]}, point [x, y], draw(context, toScreen, width, height, element),
   onMove(point). -> {element, point (get and set), paint} */
const POINT = 9; // its radius, in pixels of the page
const EDGE = POINT + 1.5; // and half the line around it
function pad({ label, range, point, draw, onMove, color: name = "accent" }) {
  let [x, y] = point;
  const within = (value, [low, high], pixels) => {
    const edge = pixels ? (EDGE / pixels) * (high - low) : 0; // none before it is shown
    return clamp(value, [low + edge, high - edge]);
  };
  const { element, paint } = canvas(
    (context, width, height, own) => {
      const toScreen = ([u, v]) => [
        ((u - range.x[0]) / (range.x[1] - range.x[0])) * width,
        (1 - (v - range.y[0]) / (range.y[1] - range.y[0])) * height,
      ];
      draw(context, toScreen, width, height, own);
      const [left, top] = toScreen([x, y]);
      context.beginPath();
      context.arc(left, top, POINT, 0, 2 * Math.PI);
      context.fillStyle = color(own, name);
      context.strokeStyle = color(own, "paper");
      context.lineWidth = 3;
      context.fill();
      context.stroke();
    },
    { class: "x-pad", tabindex: "0", role: "application", "aria-roledescription": "plane", "aria-label": `${label}: drag the point, or use the arrow keys` },
  );
  const move = (to, byReader = true) => {
    [x, y] = [within(to[0], range.x, element.clientWidth), within(to[1], range.y, element.clientHeight)];
    paint();
    onMove([x, y], byReader);
  };
  const follow = (event) => {
    const box = element.getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width;
    const up = 1 - (event.clientY - box.top) / box.height;
    move([range.x[0] + across * (range.x[1] - range.x[0]), range.y[0] + up * (range.y[1] - range.y[0])]);
  };
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    element.focus({ preventScroll: true });
    follow(event);
  });
  element.addEventListener("pointermove", (event) => event.buttons && follow(event));
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
  element.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const length = (event.shiftKey ? 0.05 : 0.01) * (range.x[1] - range.x[0]);
    move([x + step[0] * length, y + step[1] * length]);
  });
  return {
    element,
    paint,
    get point() {
      return [x, y];
    },
    set point(to) {
      move(to, false);
    },
  };
}

/* Ten test digits to choose from, one of each class, and "Others" for the next ten.
   digits: the data "digits". onPick({pixels, label, index}). -> {element, current} */
function digitPicker(digits, onPick, { label = "A test digit", start = 3, startRound = 0, extra = [] } = {}) {
  let round = startRound;
  let chosen = start;
  const rounds = digits.labels.length / 10;
  const digit = (k) => {
    const at = k * rounds + round;
    return { pixels: digits.images.subarray(at * PIXELS, (at + 1) * PIXELS), label: digits.labels[at], index: digits.indices[at] };
  };
  const cells = Array.from({ length: 10 }, (_, k) => {
    const image = silentPicture();
    const cell = el("button", { type: "button", class: "x-cell", "aria-label": `Test digit ${k}`, click: () => pick(k) }, image.element);
    return { cell, image };
  });
  const paint = () =>
    cells.forEach(({ cell, image }, k) => {
      image.draw(digit(k).pixels);
      cell.setAttribute("aria-pressed", String(k === chosen));
    });
  const pick = (k, newRound = round) => {
    [chosen, round] = [k, newRound];
    paint();
    onPick(digit(k));
  };
  const others = button("Others", () => {
    round = (round + 1) % rounds;
    pick(chosen < 0 ? start : chosen);
  });
  paint();
  return {
    element: el("div", { class: "x-picker", role: "group", "aria-label": label }, el("div", { class: "x-cells" }, cells.map(({ cell }) => cell)), others, extra),
    get current() {
      return digit(chosen);
    },
    pick,
    /* No test digit is chosen any more: the reader draws one. */
    clear() {
      chosen = -1;
      paint();
    },
  };
}

/* A drawing of the reader's, made into an image like MNIST's: scaled so that its longer side is 20 pixels, then moved so that
   its center of mass is the center of pixel 14, counted from 0, where it is in MNIST on average. `ink` is [side * side] in 0..1. */
const CENTER = 14.5;
function likeMNIST(ink, side) {
  let [left, right, top, bottom] = [side, -1, side, -1];
  for (let i = 0; i < ink.length; i++) {
    if (ink[i] < 0.1) continue;
    const [x, y] = [i % side, Math.floor(i / side)];
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
  }
  const out = new Float32Array(PIXELS);
  if (right < 0) return out;
  const scale = 20 / Math.max(right - left + 1, bottom - top + 1);
  let [sum, sumX, sumY] = [0, 0, 0];
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const value = ink[y * side + x];
      [sum, sumX, sumY] = [sum + value, sumX + value * (x + 0.5), sumY + value * (y + 0.5)];
    }
  }
  const [centerX, centerY] = [sumX / sum, sumY / sum];
  for (let v = 0; v < SIDE; v++) {
    for (let u = 0; u < SIDE; u++) {
      // What of the drawing falls on this pixel: the average over the square that it covers.
      const [x0, x1] = [u, u + 1].map((e) => centerX + (e - CENTER) / scale);
      const [y0, y1] = [v, v + 1].map((e) => centerY + (e - CENTER) / scale);
      let total = 0;
      for (let y = Math.max(Math.floor(y0), 0); y < Math.min(y1, side); y++) {
        const high = Math.min(y + 1, y1) - Math.max(y, y0);
        for (let x = Math.max(Math.floor(x0), 0); x < Math.min(x1, side); x++) {
          total += ink[y * side + x] * high * (Math.min(x + 1, x1) - Math.max(x, x0));
        }
      }
      out[v * SIDE + u] = Math.min(total * scale * scale, 1);
    }
  }
  return out;
}

/* A square to draw a digit in. onDraw(pixels) gets it as MNIST would have it. -> {element, clear} */
function sketch(onDraw) {
  const side = 112;
  const sheet = el("canvas", { width: side, height: side });
  const pen = sheet.getContext("2d", { willReadFrequently: true });
  pen.lineWidth = 11;
  pen.lineCap = pen.lineJoin = "round";
  let last = null;
  const { element, paint } = canvas((context, width, height, own) => {
    context.fillStyle = color(own, "ink");
    context.drawImage(sheet, 0, 0, width, height);
    context.globalCompositeOperation = "source-in";
    context.fillRect(0, 0, width, height);
  }, { class: "x-sketch", role: "img", "aria-label": "Draw a digit here with the mouse, a pen or a finger" });
  const place = (event) => {
    const box = element.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * side, ((event.clientY - box.top) / box.height) * side];
  };
  const draw = (event) => {
    const to = place(event);
    pen.beginPath();
    pen.moveTo(...(last || to));
    pen.lineTo(to[0] + 0.01, to[1]);
    pen.stroke();
    last = to;
    paint();
    const { data } = pen.getImageData(0, 0, side, side);
    const ink = Float32Array.from({ length: side * side }, (_, i) => data[4 * i + 3] / 255);
    onDraw(likeMNIST(ink, side));
  };
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    last = null;
    draw(event);
  });
  element.addEventListener("pointermove", (event) => event.buttons && draw(event));
  return {
    element,
    clear() {
      pen.clearRect(0, 0, side, side);
      paint();
    },
  };
}

/* What is said aloud, and not shown: the last words asked for, once nothing has changed for a moment. -> {element, say(text)} */
function announcer(pause = 700) {
  const element = el("p", { class: "x-hidden", "aria-live": "polite" });
  let timer = null;
  return {
    element,
    say(text) {
      clearTimeout(timer);
      timer = setTimeout(() => (element.textContent = text), pause);
    },
  };
}
