// The page's side of the interface: the exports of cnn.wasm (web/src/exports.rs) and the shapes of the network.

export const PARAMETERS = 102130;
export const PIXELS = 784;

// Every layer that can be looked at: where its values come from, and where its weights and biases lie among the parameters.
export const LAYERS = {
  image: { title: 'Input', channels: 1, width: 28, height: 28, kind: 'input' },
  conv1: { title: 'conv1', channels: 16, width: 26, height: 26, kind: 'conv', from: 'image', weight: 0, bias: 144 },
  pool1: { title: 'ReLU and max-pool', channels: 16, width: 13, height: 13, kind: 'pool', from: 'conv1' },
  conv2: { title: 'conv2', channels: 32, width: 11, height: 11, kind: 'conv', from: 'pool1', weight: 160, bias: 4768 },
  pool2: { title: 'ReLU and max-pool', channels: 32, width: 5, height: 5, kind: 'pool', from: 'conv2' },
  hidden: { title: 'fc1 and ReLU', channels: 1, width: 24, height: 5, kind: 'linear', from: 'pool2', weight: 4800, bias: 100800 },
  logits: { title: 'fc2: the logits', channels: 1, width: 10, height: 1, kind: 'linear', from: 'hidden', weight: 100920, bias: 102120 },
};
export const count = ({ channels, width, height }) => channels * width * height;

// Something was refused, for a reason that people can read.
export class Refusal extends Error {}

export class Network {
  static async open(module) {
    return new Network((await WebAssembly.instantiate(module, {})).exports);
  }

  constructor(exports) {
    this.exports = exports;
  }

  // Views of the module's memory are of use until the next call: memory may grow and move.
  bytes(place, length) {
    return new Uint8Array(this.exports.memory.buffer, place, length);
  }

  floats(name, length) {
    return new Float32Array(this.exports.memory.buffer, this.exports[name](), length);
  }

  values(name) {
    return this.floats(name, count(LAYERS[name]));
  }

  get parameters() {
    return this.floats('parameters', PARAMETERS);
  }

  get pixels() {
    return this.bytes(this.exports.pixels(), PIXELS);
  }

  give(data) {
    const place = this.exports.input(data.length);
    if (place === 0) throw new Refusal('the file is too long');
    this.bytes(place, data.length).set(data);
  }

  output() {
    return this.bytes(this.exports.output(), this.exports.output_length());
  }

  text() {
    return new TextDecoder().decode(this.output());
  }

  // Calls what may refuse.
  ask(name, ...args) {
    if (this.exports[name](...args) !== 0) throw new Refusal(this.text());
    return this.text();
  }

  loadModel(file) {
    this.give(file);
    return this.ask('load_model');
  }

  knowModel(file) {
    this.give(file);
    this.ask('know_model');
  }

  setParameters(parameters) {
    this.give(new Uint8Array(parameters.buffer, parameters.byteOffset, parameters.byteLength));
    this.ask('set_parameters');
  }

  setPixels(pixels) {
    this.give(pixels);
    this.ask('set_pixels');
  }

  // The remarks on a picture, a line each.
  prepare({ data, width, height }) {
    this.give(data);
    return this.ask('prepare', width, height).split('\n').filter(Boolean);
  }

  look() {
    return this.exports.look();
  }

  // What the head that was learned here makes of the digit that was looked at; nothing while there is none.
  learned() {
    if (this.exports.lesson_look() !== 0) return null;
    const values = new Float32Array(this.output().slice().buffer);
    return { logits: values.subarray(0, 10), probabilities: values.subarray(10) };
  }

  fingerprint() {
    this.exports.fingerprint();
    return this.text();
  }
}
