/* From <div class="aevb-explorer" data-explorer="NAME" data-needs="DATA …">fallback</div> to an explorer.

   When the div comes near the window, the data it needs is loaded, once per page, by classic scripts that call `provide` (fetch()
   does not work from disk); then what was `define`d under its name takes the place of the fallback.

   What travels from data.py: provide(NAME, {key: value, …}), where a value is
     * JSON: labels, indices: as it is;
     * {float32: base64}: little-endian float32, in C order  -> Float32Array, flat;
     * {uint8: base64}: bytes 0 to 255, in C order            -> Float32Array of byte / 255, flat;
     * {safetensors: base64}: float16, torch's names          -> Model. */

const HOME = document.currentScript && document.currentScript.src;

const definitions = {};
const waiting = {};
const data = {};

// A data script calls this. Base64 becomes numbers once, however many explorers use it.
function provide(name, content) {
  for (const [key, value] of Object.entries(content)) {
    if (value && value.safetensors) content[key] = new Model(readSafetensors(value.safetensors));
    if (value && value.float32) content[key] = readFloats(value.float32);
    if (value && value.uint8) content[key] = Float32Array.from(bytesOf(value.uint8), (byte) => byte / 255);
  }
  data[name] = content;
  (waiting[name] || (waiting[name] = {})).done?.(content);
}

function load(name) {
  if (data[name]) return Promise.resolve(data[name]);
  const entry = waiting[name] || (waiting[name] = {});
  entry.promise ||= new Promise((done, failed) => {
    entry.done = done;
    const script = el("script", { src: new URL(`data/${name}.js`, HOME), error: () => failed(new Error(`${name}.js did not load`)) });
    document.head.append(script);
  });
  return entry.promise;
}

async function start(root) {
  const { explorer: name, needs = "" } = root.dataset;
  try {
    const names = needs.split(" ").filter(Boolean);
    const contents = await Promise.all(names.map(load));
    const parts = definitions[name](Object.fromEntries(names.map((key, i) => [key, contents[i]])), root);
    root.replaceChildren(...[parts].flat());
    root.dataset.state = "ready";
  } catch (error) {
    root.dataset.state = "failed";
    throw error;
  }
}

function watch() {
  const near = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        start(target);
      }
    },
    { rootMargin: "600px" },
  );
  document.querySelectorAll(".aevb-explorer").forEach((root) => near.observe(root));
}
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", watch);
else watch();

/* define("NAME", (data, root) => element or elements): what builds an explorer out of the data it needs. */
const define = (name, build) => (definitions[name] = build);

// All that the files of explorers see of these: each says at its head what it uses.
const kit = {
  PIXELS, SIDE, announcer, average, button, canvas, choice, clamp, color, digitColor, digitPicker, drawMixture, el, everyFrame,
  fontOf, klPerDimension, load, logLikelihood, minus, onTheme, pad, picture, player, prefersCalm, randomness, rgb, scheduler, show,
  sigmoid, silentPicture, sketch, slices, slider, sum, waitForDirection,
};

// For the data scripts, and for tests and benchmarks that compare these numbers with Python's.
window.aevbExplorer = {
  provide, load, data, Model, logLikelihood, klPerDimension, randomness, drawMixture, likeMNIST,
};
