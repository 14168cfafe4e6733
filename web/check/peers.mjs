// Images a second forward, beside onnxruntime-web and TensorFlow.js in the same Node on one thread: node peers.mjs FOLDER
//
// Not part of CI. FOLDER, outside of the project, has them: npm install onnxruntime-web @tensorflow/tfjs
// @tensorflow/tfjs-backend-wasm. All take turns; each reads the same 1,000 digits with the committed model's parameters.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Network, PARAMETERS } from '../page/network.js';
import { read } from './files.mjs';

const [IMAGES, BATCH, ROUNDS] = [1000, 100, 15];
const folder = resolve(process.argv[2], 'node_modules'), require = createRequire(join(folder, 'x'));

const network = await Network.open(await WebAssembly.compile(read('web/page/cnn.wasm')));
network.loadModel(read('firmware/model/mnist.cnnm'));
const parameters = network.parameters.slice(), digits = new Uint8Array(784 * IMAGES);
for (let i = 0; i < IMAGES; i++) {
  network.exports.sample(i);
  digits.set(network.pixels, 784 * i);
}
network.give(digits);
network.exports.logits_of_all();
const expected = new Uint32Array(network.output().slice().buffer);
const normalised = Float32Array.from(digits, (value) => Math.fround(Math.fround(Math.fround(value / 255) - 0.5) / 0.5));
const batch = (i) => normalised.subarray(784 * BATCH * i, 784 * BATCH * (i + 1));

// Layers in PyTorch's order: their shapes, weights first.
const SHAPES = [[16, 1, 3, 3], [16], [32, 16, 3, 3], [32], [120, 800], [120], [10, 120], [10]];
let at = 0;
const tensors = SHAPES.map((shape) => parameters.slice(at, at += shape.reduce((a, b) => a * b)));
if (at !== PARAMETERS) throw new Error('the shapes');

// The network as an ONNX file: the few fields of its protobuf messages that it takes.
function onnx() {
  const varint = (value) => (value < 128 ? [value] : [value % 128 + 128, ...varint(Math.floor(value / 128))]);
  const bytes = (field, contents) => Buffer.concat([Buffer.from([...varint(field * 8 + 2), ...varint(contents.length)]), contents]);
  const text = (field, value) => bytes(field, Buffer.from(value)), number = (field, value) => Buffer.from([...varint(field * 8), ...varint(value)]);
  const message = (field, ...parts) => bytes(field, Buffer.concat(parts));
  const ints = (name, values) => message(5, text(1, name), ...values.map((value) => number(8, value)), number(20, 7));
  const node = (type, inputs, output, ...attributes) => message(1, ...inputs.map((input) => text(1, input)), text(2, output), text(4, type), ...attributes);
  const value = (field, name, sizes) => message(field, text(1, name), message(2, message(1, number(1, 1), message(2, ...sizes.map((size) => message(1, number(1, size)))))));
  const pool = [ints('kernel_shape', [2, 2]), ints('strides', [2, 2])], transposed = message(5, text(1, 'transB'), number(3, 1), number(20, 2));
  const graph = message(7,
    node('Conv', ['x', 'p0', 'p1'], 'a'), node('Relu', ['a'], 'b'), node('MaxPool', ['b'], 'c', ...pool),
    node('Conv', ['c', 'p2', 'p3'], 'd'), node('Relu', ['d'], 'e'), node('MaxPool', ['e'], 'f', ...pool),
    node('Flatten', ['f'], 'g'), node('Gemm', ['g', 'p4', 'p5'], 'h', transposed), node('Relu', ['h'], 'i'), node('Gemm', ['i', 'p6', 'p7'], 'y', transposed),
    text(2, 'cnn'),
    ...SHAPES.map((shape, i) => message(5, ...shape.map((size) => number(1, size)), number(2, 1), text(8, `p${i}`), bytes(9, Buffer.from(tensors[i].buffer)))),
    value(11, 'x', [BATCH, 1, 28, 28]), value(12, 'y', [BATCH, 10]));
  return Buffer.concat([number(1, 8), message(8, text(1, ''), number(2, 17)), graph]);
}

async function onnxruntime() {
  const ort = await import(pathToFileURL(join(folder, 'onnxruntime-web/dist/ort.node.min.mjs')));
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(onnx(), { executionProviders: ['wasm'] });
  const inputs = Array.from({ length: IMAGES / BATCH }, (_, i) => new ort.Tensor('float32', batch(i), [BATCH, 1, 28, 28]));
  return async (i) => (await session.run({ x: inputs[i] })).y.data;
}

async function tensorflow() {
  const tf = require('@tensorflow/tfjs'), wasm = require('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(join(folder, '@tensorflow/tfjs-backend-wasm/dist/'));
  wasm.setThreadsCount(1);
  await tf.setBackend('wasm');
  await tf.ready();
  const kernel = (i) => tf.tensor(tensors[i], SHAPES[i]).transpose([2, 3, 1, 0]);
  // Its maps have the channels last: fc1's inputs are in another order there.
  const fc1 = tf.tensor(tensors[4], [120, 32, 5, 5]).transpose([2, 3, 1, 0]).reshape([800, 120]), fc2 = tf.tensor(tensors[6], [10, 120]).transpose();
  const [k1, k2, b1, b2, b3, b4] = [kernel(0), kernel(2), ...[1, 3, 5, 7].map((i) => tf.tensor1d(tensors[i]))];
  const inputs = Array.from({ length: IMAGES / BATCH }, (_, i) => tf.tensor(batch(i), [BATCH, 28, 28, 1]));
  const conv = (x, filter, bias) => tf.maxPool(tf.fused.conv2d({ x, filter, strides: 1, pad: 'valid', bias, activation: 'relu' }), 2, 2, 'valid');
  return async (i) => {
    const y = tf.tidy(() => {
      const flat = conv(conv(inputs[i], k1, b1), k2, b2).reshape([BATCH, 800]);
      const hidden = tf.fused.matMul({ a: flat, b: fc1, bias: b3, activation: 'relu' });
      return tf.fused.matMul({ a: hidden, b: fc2, bias: b4 });
    });
    const logits = await y.data();
    y.dispose();
    return logits;
  };
}

// This page's: the evaluation of a run.
function own() {
  network.exports.draw(0, 1);
  network.exports.draw(1, IMAGES);
  network.give(new TextEncoder().encode('digits\nconstant\nconv1,conv2,fc1,fc2'));
  network.ask('begin', 1, 1, 0, 0, 0, 0n, 0);
  return () => network.ask('probe');
}

const batches = (run) => async () => {
  for (let i = 0; i < IMAGES / BATCH; i++) await run(i);
};
const [ort, tf] = [await onnxruntime(), await tensorflow()];
for (const [name, run] of [['onnxruntime-web', ort], ['TensorFlow.js', tf]]) {
  let equal = 0, furthest = 0;
  for (let i = 0; i < IMAGES / BATCH; i++) {
    const logits = Float32Array.from(await run(i)), bits = new Uint32Array(logits.buffer), wanted = expected.subarray(10 * BATCH * i, 10 * BATCH * (i + 1));
    const numbers = new Float32Array(wanted.slice().buffer);
    for (let k = 0; k < bits.length; k++) {
      equal += bits[k] === wanted[k];
      furthest = Math.max(furthest, Math.abs(logits[k] - numbers[k]));
    }
  }
  console.log(`${name}: ${equal} of ${10 * IMAGES} logits have the same bits, the furthest is off by ${furthest.toExponential(1)}`);
  if (furthest > 1e-3) throw new Error(`${name} does not compute this network`);
}
const engines = { 'this page': own(), 'onnxruntime-web': batches(ort), 'TensorFlow.js, wasm': batches(tf) };
const times = Object.fromEntries(Object.keys(engines).map((name) => [name, []]));
for (let round = -2; round < ROUNDS; round++) {
  for (const [name, run] of Object.entries(engines)) {
    const start = performance.now();
    await run();
    if (round >= 0) times[name].push(performance.now() - start);
  }
}
const version = (name) => JSON.parse(readFileSync(join(folder, name, 'package.json'))).version;
console.log(`Node ${process.version}, onnxruntime-web ${version('onnxruntime-web')}, TensorFlow.js ${version('@tensorflow/tfjs')}; images a second, of ${ROUNDS} rounds of ${IMAGES}:`);
for (const [name, all] of Object.entries(times)) {
  all.sort((a, b) => a - b);
  const rate = (time) => Math.round(1000 * IMAGES / time);
  console.log(`${name}: the best ${rate(all[0])}, the median ${rate(all[ROUNDS >> 1])}`);
}
process.exit();
