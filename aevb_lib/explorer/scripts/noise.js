/* One digit's code under the same noise in two models: how much of the digit is left depends on the unit of the noise. */
const { PIXELS, announcer, average, button, choice, digitPicker, el, picture, randomness, scheduler, show, slider } = kit;

define("noise", (data, root) => {
  const DRAWS = 9; // one large, the others in a strip
  const FULL = { noise: 6.5, error: 0.3 }; // of the bars
  const BUDGET = 6; // milliseconds of a frame for pictures of the strip

  const random = randomness(1);
  let x = null;
  let unit = "own";
  let s = 1;
  let noise = [];
  const draw = () => (noise = Array.from({ length: DRAWS }, () => random.normals(20)));

  const squaredError = (image) => image.reduce((sum, value, i) => sum + (value - x[i]) ** 2, 0) / PIXELS;

  /* A bar and its number. */
  function meter(name, full, digits, attributes = {}) {
    const bar = el("span", { class: "x-meter-bar" });
    const number = el("span", { class: "x-value" });
    return {
      element: el("p", { class: "x-meter", ...attributes }, el("span", {}, name), bar, number),
      show(value) {
        bar.style.setProperty("--filled", `${100 * Math.min(value / full, 1)}%`);
        number.textContent = show(value, digits);
      },
    };
  }

  function side(kind, title) {
    const { model, spread } = data[`${kind}-d020`];
    const pictures = {
      original: picture("The original"),
      clean: picture(`The ${title}’s reconstruction without noise`),
      disturbed: picture(`What the ${title} decodes from the disturbed code`),
    };
    const others = Array.from({ length: DRAWS - 1 }, (_, i) => picture(`${title}, draw ${i + 2}`));
    const meters = {
      spread: meter("Codes’ spread", FULL.noise, 2, { class: "x-meter x-pale" }),
      noise: meter("Noise", FULL.noise, 2),
      error: meter("Squared error", FULL.error, 3),
    };
    meters.spread.show(average(spread));
    let z = null;
    const errors = new Array(DRAWS).fill(0);

    const disturbed = (k) => z.map((value, j) => value + s * (unit === "own" ? spread[j] : 1) * noise[k][j]);
    function decode(k) {
      const image = model.decode(disturbed(k));
      errors[k] = squaredError(image);
      (k ? others[k - 1] : pictures.disturbed).draw(image);
    }
    return {
      title,
      encode() {
        z = model.encode(x).mean;
        pictures.original.draw(x);
        pictures.clean.draw(model.decode(z));
      },
      decode,
      count() {
        meters.noise.show(s * (unit === "own" ? average(spread) : 1));
        meters.error.show(average(errors));
      },
      get state() {
        return { z, first: disturbed(0), error: average(errors), errors: [...errors] };
      },
      element: el("section", { class: `x-panel x-${kind}`, "aria-label": title },
        el("h4", {}, title),
        el("div", { class: "x-before-after" },
          el("div", {}, pictures.original.element, el("p", { class: "x-note" }, "original")),
          el("div", {}, pictures.clean.element, el("p", { class: "x-note" }, el("i", {}, "s"), " = 0")),
          pictures.disturbed.element,
        ),
        el("div", { class: "x-strip-of-draws" }, others.map((other) => other.element)),
        Object.values(meters).map((one) => one.element),
      ),
    };
  }
  const sides = { vae: side("vae", "VAE"), autoencoder: side("autoencoder", "Autoencoder") };
  const both = Object.values(sides);
  const spoken = announcer();

  // The large pictures in this frame, those of the strips in turn and as there is time, in this one or the next.
  let moved = false;
  let stale = 0;
  let turn = 1;
  const paint = scheduler(() => {
    const start = performance.now();
    if (moved) {
      both.forEach((one) => one.decode(0));
      [moved, stale] = [false, DRAWS - 1];
    }
    for (; stale && performance.now() - start < BUDGET; stale--) {
      both.forEach((one) => one.decode(turn));
      turn = (turn % (DRAWS - 1)) + 1;
    }
    both.forEach((one) => one.count());
    if (stale) paint();
    else if (root.matches(":focus-within")) spoken.say(`Noise ${show(s)}, ${unit === "own" ? "own unit" : unit}. Squared error per pixel: ${both.map((one) => `${one.title} ${show(one.state.error, 3)}`).join(", ")}`);
  });
  function again() {
    moved = true;
    paint();
  }

  const pick = (digit) => {
    x = digit.pixels;
    both.forEach((one) => one.encode());
    again();
  };
  const picker = digitPicker(data.digits, pick, { start: 0 });
  const dial = slider({ label: ["Noise ", el("i", {}, "s")], min: 0, max: 3, step: 0.05, value: s, onInput(value) {
    s = value;
    again();
  } });
  const units = choice("Unit of the noise", { own: "own unit", absolute: "absolute" }, unit, (chosen) => {
    unit = chosen;
    again();
  });
  draw();
  pick(picker.current);

  root.explorer = {
    get state() {
      return { x, s, unit, noise, done: !moved && !stale, vae: sides.vae.state, autoencoder: sides.autoencoder.state };
    },
  };
  return [
    picker.element,
    el("div", { class: "x-row x-dial" }, dial.element, units, button("New noise", () => {
      draw();
      again();
    })),
    el("div", { class: "x-panels" }, both.map((one) => one.element)),
    el("p", { class: "x-note x-explained" }, "The same ", el("i", {}, "ε"), " for both models. Squared error per pixel from the original, averaged over the nine pictures."),
    spoken.element,
  ];
});
