/* The straight line between two test digits, in the codes of both models and, beside them, in pixels: the cross-fade. */
const { button, clamp, digitPicker, el, everyFrame, picture, player, prefersCalm, randomness, scheduler, silentPicture, slices, slider } = kit;

define("path", ({ digits, "vae-d020": vae, "autoencoder-d020": autoencoder }, root) => {
  const IMAGES = 9; // on a strip, as in the chapter's figure
  const SECONDS = 4; // from one end to the other

  // a + t (b - a), of codes or of pixels.
  const between = (a, b, t) => a.map((value, i) => value + t * (b[i] - value));

  /* One way from a digit to another: what its ends are, and what is seen at a point of the line between them. */
  function way(kind, title, encode, decode) {
    const large = picture(title, { class: "x-picture x-large" });
    const strip = Array.from({ length: IMAGES }, silentPicture); // as a whole it is a picture
    const film = el("div", { class: `x-frames x-${kind}`, role: "img" }, strip.map(({ element }) => element));
    let ends = [];
    return {
      large,
      strip,
      panel: el("section", { class: `x-panel x-${kind}`, "aria-label": title }, el("h4", {}, title), large.element),
      film: [el("span", { class: `x-name x-${kind}`, "aria-hidden": "true" }, title), film],
      setEnds(from, to) {
        ends = [from, to].map(({ pixels }) => encode(pixels));
        film.setAttribute("aria-label", `${title}: nine images on the way from a ${from.label} to a ${to.label}`);
      },
      show(t) {
        large.draw(decode(between(...ends, t)), `${title}, ${percent(t)} of the way`);
      },
      showOnStrip(i) {
        strip[i].draw(decode(between(...ends, i / (IMAGES - 1))));
      },
    };
  }

  const percent = (t) => `${Math.round(100 * t)} %`;
  const same = (pixels) => pixels;
  const ways = [
    ...[["vae", "VAE", vae.model], ["autoencoder", "Autoencoder", autoencoder.model]].map(([kind, title, model]) =>
      way(kind, title, (x) => model.encode(x).mean, (z) => model.decode(z)),
    ),
    way("cross-fade", "Cross-fade", same, same),
  ];

  const strips = el("div", { class: "x-strips" }, ways.flatMap(({ film }) => film));
  const paint = scheduler(() => {
    strips.style.setProperty("--t", dial.value);
    ways.forEach((each) => each.show(dial.value));
  });
  const paintStrips = slices(IMAGES, (i) => ways.forEach((each) => each.showOnStrip(i)));
  const dial = slider({
    label: "Share of the way",
    min: 0,
    max: 1,
    step: 0.005,
    value: 0.5,
    format: percent,
    onInput() {
      film.stop();
      paint();
    },
  });
  const moveTo = (t) => {
    dial.value = clamp(t, [0, 1]);
    paint();
  };

  // The strips are scrubbed like a film: a press goes to the image there, and a drag to any place between images.
  const follow = (event) => {
    const [first, last] = [0, IMAGES - 1].map((i) => {
      const box = ways[0].strip[i].element.getBoundingClientRect();
      return (box.left + box.right) / 2;
    });
    const t = (event.clientX - first) / (last - first);
    film.stop();
    moveTo(event.type === "pointerdown" ? Math.round(t * (IMAGES - 1)) / (IMAGES - 1) : t);
  };
  for (const frames of strips.querySelectorAll(".x-frames")) {
    frames.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      frames.setPointerCapture(event.pointerId);
      follow(event);
    });
    frames.addEventListener("pointermove", (event) => event.buttons && follow(event));
  }

  // To and fro until the reader stops it or takes the dial. Who wants less motion gets image after image, one for each press.
  const film = player("Play", () => {
    const phase = Math.acos(1 - 2 * dial.value);
    const start = performance.now();
    return everyFrame((now) => moveTo((1 - Math.cos(phase + (Math.PI * Math.max(now - start, 0)) / 1000 / SECONDS)) / 2));
  });
  const next = button("Next image", () => {
    const image = Math.floor(dial.value * (IMAGES - 1) + 1.001);
    moveTo((image % IMAGES) / (IMAGES - 1));
  });

  // From a 2 to a 3 that are far apart in pixels and near in shape; after that, what the reader picks or chance does.
  const rounds = digits.labels.length / 10;
  const from = digitPicker(digits, () => setEnds(), { label: "From", start: 2, startRound: 2 });
  const to = digitPicker(digits, () => setEnds(), { label: "To", start: 3, startRound: 8 });
  const readout = el("p", { class: "x-readout", "aria-live": "polite" });
  const describe = ({ label, index }) => `a ${label} (test image ${index})`;
  function setEnds() {
    ways.forEach((each) => each.setEnds(from.current, to.current));
    readout.textContent = `From ${describe(from.current)} to ${describe(to.current)}`;
    paint();
    paintStrips();
  }
  const random = randomness(1);
  const below = (n) => Math.floor(n * random.uniform());
  const chance = button("Random pair", () => {
    const digit = below(10);
    from.pick(digit, below(rounds));
    to.pick((digit + 1 + below(9)) % 10, below(rounds)); // another digit
  });
  setEnds();

  root.explorer = {
    isBusy: paintStrips.isBusy,
    get t() {
      return dial.value;
    },
    get ends() {
      return [from.current.index, to.current.index];
    },
    get pixels() {
      return ways.map(({ large }) => [...large.pixels]);
    },
    get strips() {
      return ways.map(({ strip }) => strip.map(({ pixels }) => [...pixels]));
    },
  };
  const end = (title, picker) => el("div", { class: "x-end" }, el("span", { "aria-hidden": "true" }, title), picker.element);
  return [
    el("div", { class: "x-panels" }, ways.map(({ panel }) => panel)),
    el("div", { class: "x-film" }, dial.element, strips),
    el("div", { class: "x-row" }, prefersCalm() ? next : film.element, chance, readout),
    el("div", { class: "x-ends" }, end("From", from), end("To", to)),
    el("p", { class: "x-legend" }, "On a line between codes, parts of one shape bend into the other and parts fade; the cross-fade of pixels shows both digits at once. One pair is an anecdote: press “Random pair”."),
  ];
});
