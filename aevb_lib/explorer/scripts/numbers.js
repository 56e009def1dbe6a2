/* Networks, bounds and random draws: what aevb_lib does in Python, on Float32Arrays. */

const SIDE = 28;
const PIXELS = SIDE * SIDE;

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

// IEEE 754 half precision: sign, five bits of exponent, ten of fraction.
function fromHalf(half) {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -24 * fraction;
}

// The format of the shipped weights: length of the header, header (JSON), bytes. Little-endian, float16.
function readSafetensors(base64) {
  const bytes = bytesOf(base64);
  const view = new DataView(bytes.buffer);
  const length = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const tensors = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    if (entry.dtype !== "F16") throw new Error(`${name} is ${entry.dtype}, not F16`);
    const [start, end] = entry.data_offsets.map((offset) => offset + 8 + length);
    const values = new Float32Array((end - start) / 2);
    for (let i = 0; i < values.length; i++) values[i] = fromHalf(view.getUint16(start + 2 * i, true));
    tensors[name] = values;
  }
  return tensors;
}

const readFloats = (base64) => new Float32Array(bytesOf(base64).buffer);

const sigmoid = (value) => 1 / (1 + Math.exp(-value));
const clamp = (value, [low, high]) => Math.min(Math.max(value, low), high);
const sum = (values) => values.reduce((total, value) => total + value, 0);
const average = (values) => sum(values) / values.length;

// One linear layer: out[i] = bias[i] + sum_j weight[i, j] input[j].
function linear(weight, bias, input) {
  const out = new Float32Array(bias.length);
  const width = input.length;
  for (let i = 0, at = 0; i < out.length; i++) {
    let sum = bias[i];
    for (let j = 0; j < width; j++) sum += weight[at++] * input[j];
    out[i] = sum;
  }
  return out;
}

/* A VAE or an autoencoder of aevb_lib: linear, tanh, linear on either side. The names are torch's. */
class Model {
  constructor(weights) {
    this.weights = weights;
    this.hiddenDim = weights["decoder.mlp.layers.0.bias"].length;
    this.latentDim = weights["decoder.mlp.layers.0.weight"].length / this.hiddenDim;
  }

  mlp(prefix, input) {
    const part = (name) => this.weights[`${prefix}layers.${name}`];
    const hidden = linear(part("0.weight"), part("0.bias"), input);
    for (let i = 0; i < hidden.length; i++) hidden[i] = Math.tanh(hidden[i]);
    return linear(part("2.weight"), part("2.bias"), hidden);
  }

  /* Mean and standard deviation of q(z|x); of an autoencoder, the code alone. */
  encode(x) {
    const isVAE = "encoder.mlp.layers.0.bias" in this.weights;
    if (!isVAE) return { mean: this.mlp("encoder.", x), sd: null };
    const out = this.mlp("encoder.mlp.", x);
    const mean = out.slice(0, this.latentDim);
    const sd = out.slice(this.latentDim).map((logVariance) => Math.exp(0.5 * logVariance));
    return { mean, sd };
  }

  logits(z) {
    return this.mlp("decoder.mlp.", z);
  }

  /* The mean image of a code. */
  decode(z) {
    return this.logits(z).map(sigmoid);
  }
}

/* log p(x|z) in nats: for each pixel x l - log(1 + e^l), without overflow. */
function logLikelihood(x, logits) {
  let sum = 0;
  for (let i = 0; i < x.length; i++) {
    const l = logits[i];
    sum += x[i] * l - Math.max(l, 0) - Math.log1p(Math.exp(-Math.abs(l)));
  }
  return sum;
}

/* KL(N(mean, sd^2) || N(0, 1)) of every dimension, in nats: appendix B of the paper. */
const klPerDimension = ({ mean, sd }) =>
  mean.map((m, i) => 0.5 * (m * m + sd[i] * sd[i] - 1) - Math.log(sd[i]));

/* A small generator with a seed (mulberry32), and normal draws from it (Box and Muller). */
function randomness(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal, normals: (n) => Float32Array.from({ length: n }, normal) };
}

/* Draw from a mixture of normals: weights [K], means [K * D], scale_tril [K * D * D], the last of them times `scale`. */
function drawMixture({ weights, means, scale_tril: triangle }, random, scale = 1) {
  let left = random.uniform();
  const k = Math.max(weights.findIndex((weight) => (left -= weight) < 0), 0);
  const dim = means.length / weights.length;
  const noise = random.normals(dim).map((value) => value * scale);
  return Float32Array.from({ length: dim }, (_, i) => {
    let sum = means[k * dim + i];
    for (let j = 0; j <= i; j++) sum += triangle[(k * dim + i) * dim + j] * noise[j];
    return sum;
  });
}
