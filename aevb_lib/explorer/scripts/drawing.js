/* Elements, colors, canvases and pictures of digits. */

/* el("p", {class: "x-note"}, "text", child): an element. Attributes that are functions become listeners. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

const minus = (text) => String(text).replace("-", "−");
const show = (value, digits = 2) => minus(Number(value.toFixed(digits)).toFixed(digits)); // twice: zero has no sign

/* Call `draw` at most once per frame, however often it is asked for. */
function scheduler(draw) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  };
}

/* Call step(now) in every frame. -> a function that ends it */
function everyFrame(step) {
  let frame = requestAnimationFrame(function next(now) {
    frame = requestAnimationFrame(next);
    step(now);
  });
  return () => cancelAnimationFrame(frame);
}

// Whether the reader has asked for less motion.
const prefersCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/* Do work(0) … work(count - 1), for some milliseconds of each frame, and one piece more. Asked again before it is done, it goes on until all are new. */
function slices(count, work, milliseconds = 3) {
  let [next, left, frame] = [0, 0, null];
  const run = () => {
    const end = performance.now() + milliseconds;
    for (; left && performance.now() < end; left--) {
      work(next);
      next = (next + 1) % count;
    }
    frame = left ? requestAnimationFrame(run) : null;
  };
  const start = () => {
    left = count;
    frame ||= requestAnimationFrame(run);
  };
  start.isBusy = () => left > 0;
  return start;
}

// ---- Colors: those of the style sheet, in numbers, again whenever the page turns light or dark ------------------------

const isDark = () => {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
const onTheme = (callback) => {
  new MutationObserver(callback).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", callback);
};
const color = (element, name) => getComputedStyle(element).getPropertyValue(`--x-${name}`).trim();
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

// The ten colors of aevb_lib.plotting.DIGIT_COLORS; on dark paper, nearer to white.
function digitColor(digit) {
  const mixed = rgb(DIGIT_COLORS[digit]).map((c) => Math.round(isDark() ? c + 0.38 * (255 - c) : c));
  return `rgb(${mixed.join()})`;
}

// A canvas as sharp as the screen, drawn again when its size or the theme changes.
function canvas(draw, attributes = {}) {
  const element = el("canvas", attributes);
  const paintNow = () => {
    const { width, height } = element.getBoundingClientRect();
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    element.width = Math.round(width * ratio);
    element.height = Math.round(height * ratio);
    const context = element.getContext("2d");
    context.scale(ratio, ratio);
    draw(context, width, height, element);
  };
  const paint = scheduler(paintNow);
  new ResizeObserver(paint).observe(element);
  onTheme(paintNow); // at once: no frame comes between the command to print and the print
  return { element, paint };
}

/* picture("VAE") -> {element, draw(pixels)}: 28 by 28 pixels, ink on paper. `label` says what it is a picture of. */
function picture(label, attributes = {}) {
  let pixels = new Float32Array(PIXELS);
  const element = el("canvas", { width: SIDE, height: SIDE, role: "img", "aria-label": label, class: "x-picture", ...attributes });
  const context = element.getContext("2d");
  const image = context.createImageData(SIDE, SIDE);
  const paint = () => {
    const ink = rgb(color(element, "ink") || "#000000");
    const paper = rgb(color(element, "paper") || "#ffffff");
    for (let i = 0; i < PIXELS; i++) {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = paper[c] + pixels[i] * (ink[c] - paper[c]);
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  };
  onTheme(paint);
  requestAnimationFrame(paint); // colors are known once it is in the page
  return {
    element,
    get pixels() {
      return pixels;
    },
    draw(values, newLabel) {
      pixels = values;
      if (newLabel) element.setAttribute("aria-label", newLabel);
      paint();
    },
  };
}

/* A picture that is not spoken of by itself: what it stands in has a name. */
function silentPicture() {
  const image = picture("");
  image.element.removeAttribute("role");
  image.element.removeAttribute("aria-label");
  image.element.setAttribute("aria-hidden", "true");
  return image;
}

// The font of the page, for text on a canvas.
const fontOf = (element, size = 15, style = "") => `${style} ${size}px ${getComputedStyle(element).fontFamily}`.trim();
