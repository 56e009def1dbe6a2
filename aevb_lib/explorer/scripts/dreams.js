/* Three walls of generated digits: the VAE from its prior, the autoencoder from the same codes, and from where its own codes are. */
const { button, drawMixture, el, randomness, silentPicture, slices, slider } = kit;

define("dreams", ({ "vae-d020": vae, "autoencoder-d020": autoencoder, "mixture-d020": mixture }, root) => {
  const DIGITS = 24; // on a wall
  const NEAR = 0.4; // scale of the noise that makes neighbors, in the spread of the model's codes

  let seed = 1;
  let temperature = 1;
  const nearby = randomness(0);
  const fromPrior = (random) => random.normals(vae.model.latentDim).map((value) => value * temperature);
  const fromMixture = (random) => drawMixture(mixture, random, temperature);

  /* `draw` gives a code. All walls draw with the same seed, so that the two that draw from the prior have the same codes. */
  function wall(kind, title, source, { model, spread }, draw) {
    let codes = [];
    let pressed = null;
    const shown = []; // the codes of the pictures
    const cells = Array.from({ length: DIGITS }, (_, i) => {
      const image = silentPicture(); // its button has a name
      const cell = el("button", {
        type: "button",
        class: "x-cell",
        tabindex: i ? -1 : 0,
        "aria-label": `Dream ${i + 1} of ${DIGITS}: more like this`,
        click: () => moreLike(i),
        focus: () => cells.forEach((other, k) => (other.cell.tabIndex = k === i ? 0 : -1)),
      }, image.element);
      return { cell, image };
    });

    // One stop of the tab key for a wall; the arrow keys go on from there.
    const grid = el("div", { class: "x-wall", role: "group", "aria-label": `${title}, ${source}`, keydown }, cells.map(({ cell }) => cell));
    function keydown(event) {
      const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
      if (!step) return;
      event.preventDefault();
      cells[cells.findIndex(({ cell }) => cell === event.target.closest("button")) + step]?.cell.focus();
    }

    function mark(i) {
      if (i === pressed) return;
      pressed = i;
      cells.forEach(({ cell }, k) => cell.setAttribute("aria-pressed", String(k === i)));
    }
    function moreLike(i) {
      codes = codes.map((_, k) => (k === i ? codes[i] : codes[i].map((value, d) => value + NEAR * spread[d] * nearby.normal())));
      mark(i);
      paint();
      readout.textContent = `${title}: around the digit you pressed, ${DIGITS - 1} codes near its own.`;
    }

    return {
      element: el("section", { class: `x-panel x-${kind}`, "aria-label": `${title}, ${source}` }, el("h4", {}, title), el("p", { class: "x-source" }, source), grid),
      cells,
      get codes() {
        return codes;
      },
      get pressed() {
        return pressed;
      },
      dream() {
        const random = randomness(seed);
        codes = cells.map(() => draw(random));
        mark(-1);
      },
      show(i) {
        if (shown[i] === codes[i]) return;
        shown[i] = codes[i];
        cells[i].image.draw(model.decode(codes[i]));
      },
    };
  }

  const walls = [
    wall("vae", "VAE", "from its prior, N(0, I)", vae, fromPrior),
    wall("autoencoder", "Autoencoder", "from the same codes", autoencoder, fromPrior),
    wall("autoencoder", "Autoencoder", "from a mixture of normals fitted to its own codes", autoencoder, fromMixture),
  ];
  const paint = slices(DIGITS, (i) => walls.forEach((each) => each.show(i)));

  const readout = el("p", { class: "x-readout", "aria-live": "polite" });
  const dream = () => {
    walls.forEach((each) => each.dream());
    readout.textContent = "Press a digit for more like it.";
    paint();
  };
  const again = button("Dream again", () => {
    seed += 1;
    dream();
  }, { class: "x-button x-again" });
  const dial = slider({
    label: "Temperature",
    min: 0,
    max: 2,
    step: 0.05,
    value: temperature,
    onInput(value) {
      temperature = value;
      dream();
    },
  });
  dream();

  root.explorer = {
    isBusy: paint.isBusy,
    get temperature() {
      return temperature;
    },
    get walls() {
      return walls.map(({ codes, pressed, cells }) => ({ codes: codes.map((z) => [...z]), pressed, pixels: cells.map(({ image }) => [...image.pixels]) }));
    },
  };
  return [
    el("div", { class: "x-walls" }, walls.map(({ element }) => element)),
    el("div", { class: "x-row x-night" }, again, dial.element),
    readout,
    el("p", { class: "x-legend" }, "Temperature multiplies the standard deviation of the draws: at 1 it is the density itself, at 0 only its center is left, or the mixture’s ten."),
  ];
});
