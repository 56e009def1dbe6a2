/* Two planes of two-dimensional codes, one point on each, and the digit that its decoder makes there. */
const { SIDE, choice, color, digitColor, el, everyFrame, onTheme, pad, picture, player, show } = kit;

define("latent-map", ({ map }, root) => {
  const labels = map.labels;
  root.explorer = {};

  // Circles that hold a half, nine tenths and 99 % of the standard normal prior.
  const CIRCLES = [0.5, 0.9, 0.99].map((mass) => [mass, Math.sqrt(-2 * Math.log(1 - mass))]);

  // A square around all codes, with a unit as long across as up.
  function squareAround(codes) {
    const ends = [0, 1].map((axis) => {
      const values = Array.from({ length: labels.length }, (_, i) => codes[2 * i + axis]);
      return [Math.min(...values), Math.max(...values)];
    });
    const reach = 0.54 * Math.max(...ends.map(([low, high]) => high - low));
    const [x, y] = ends.map(([low, high]) => [(low + high) / 2 - reach, (low + high) / 2 + reach]);
    return { x, y };
  }

  function nearest(codes, [x, y]) {
    let [best, at] = [Infinity, 0];
    for (let i = 0; i < labels.length; i++) {
      const distance = (codes[2 * i] - x) ** 2 + (codes[2 * i + 1] - y) ** 2;
      if (distance < best) [best, at] = [distance, i];
    }
    return { label: labels[at], distance: Math.sqrt(best) };
  }

  function plane(kind, title) {
    const [model, codes] = [map[kind], map[`${kind}_codes`]];
    const first = [codes[0], codes[1]]; // both planes begin at the code of the same image
    const range = squareAround(codes);
    const digit = picture(`The digit decoded by the ${title}`, { class: "x-picture x-large" });
    const readout = el("p", { class: "x-readout", "aria-live": "polite" });
    let background = "codes";
    let mosaic = null;

    // What the decoder makes of a grid of points, as one picture: made when it is first asked for.
    function decodeGrid(size) {
      const sheet = el("canvas", { width: size * SIDE, height: size * SIDE });
      const context = sheet.getContext("2d");
      for (let row = 0; row < size; row++) {
        for (let column = 0; column < size; column++) {
          const x = range.x[0] + ((column + 0.5) / size) * (range.x[1] - range.x[0]);
          const y = range.y[1] - ((row + 0.5) / size) * (range.y[1] - range.y[0]);
          const image = context.createImageData(SIDE, SIDE);
          model.decode([x, y]).forEach((value, i) => (image.data[4 * i + 3] = 255 * value));
          context.putImageData(image, column * SIDE, row * SIDE);
        }
      }
      return sheet;
    }

    function drawCodes(context, toScreen) {
      context.globalAlpha = 0.7;
      for (let i = 0; i < labels.length; i++) {
        const [left, top] = toScreen([codes[2 * i], codes[2 * i + 1]]);
        context.fillStyle = colors[labels[i]];
        context.fillRect(left - 1.3, top - 1.3, 2.6, 2.6);
      }
      context.globalAlpha = 1;
    }

    function drawDigits(context, width, height, own) {
      mosaic ||= decodeGrid(14);
      context.drawImage(mosaic, 0, 0, width, height);
      context.globalCompositeOperation = "source-in"; // the digits were drawn in transparency: give them ink
      context.fillStyle = color(own, "ink");
      context.fillRect(0, 0, width, height);
      context.globalCompositeOperation = "source-over";
    }

    let colors = [];
    const surface = pad({
      label: `Codes of the ${title}`,
      range,
      point: first,
      color: kind,
      draw(context, toScreen, width, height, own) {
        colors = Array.from({ length: 10 }, (_, k) => digitColor(k));
        if (background === "codes") drawCodes(context, toScreen);
        else drawDigits(context, width, height, own);
        context.strokeStyle = color(own, "ink");
        context.lineWidth = 1;
        const [left, top] = toScreen([0, 0]);
        for (const [, radius] of CIRCLES) {
          context.beginPath();
          context.arc(left, top, toScreen([radius, 0])[0] - left, 0, 2 * Math.PI);
          context.stroke();
        }
      },
      onMove(point, byReader) {
        if (byReader) stroll.stop();
        digit.draw(model.decode(point));
        const { label } = nearest(codes, point);
        readout.textContent = `z = (${show(point[0])}, ${show(point[1])}); the nearest code is a ${label}’s`;
      },
    });

    // A stroll over the middle of the plane, until the reader takes the point or stops it.
    const stroll = player("Wander", () => {
      const start = performance.now();
      const [middleX, middleY] = [0, 1].map((axis) => median(codes, axis));
      const reach = kind === "vae" ? 1.6 : 0.22 * (range.x[1] - range.x[0]);
      readout.setAttribute("aria-live", "off");
      const end = everyFrame((now) => {
        const t = (now - start) / 1000;
        surface.point = [middleX + reach * Math.sin(0.53 * t), middleY + reach * Math.sin(0.71 * t + 1)];
      });
      return () => {
        end();
        readout.setAttribute("aria-live", "polite");
      };
    });

    surface.point = first;
    root.explorer[kind] = { surface, digit };
    const shown = choice(`On the plane of the ${title}`, { codes: "codes", digits: "digits" }, background, (value) => {
      background = value;
      surface.paint();
    });
    return el("section", { class: `x-panel x-${kind}`, "aria-label": title },
      el("h4", {}, title),
      el("div", { class: "x-plane" }, surface.element),
      el("div", { class: "x-row" }, digit.element, el("div", { class: "x-stack" }, readout, el("div", { class: "x-row x-tools" }, shown, stroll.element))),
    );
  }

  const median = (codes, axis) => {
    const values = Array.from({ length: labels.length }, (_, i) => codes[2 * i + axis]).sort((a, b) => a - b);
    return values[values.length >> 1];
  };

  const legend = el("p", { class: "x-legend" }, "Test digits: ",
    Array.from({ length: 10 }, (_, k) => {
      const key = el("span", {}, String(k));
      const paint = () => key.style.setProperty("--key", digitColor(k));
      onTheme(paint);
      paint();
      return key;
    }),
    " Circles hold 50, 90 and 99 % of the prior.",
  );
  return [el("div", { class: "x-panels" }, plane("vae", "VAE"), plane("autoencoder", "Autoencoder")), legend];
});
