// The page's WebAssembly in Node, bit for bit: node bits.mjs MODULE… [MNIST_DIR is read where it is set]
//
// For each module 10,000 logits of the built-in digits, and of MNIST; the first epoch of the committed run on MNIST.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { Network } from '../page/network.js';

const here = (path) => new URL(path, import.meta.url);
const json = (path) => JSON.parse(readFileSync(here(path)));
const expected = json('expected.json'), record = json('../../firmware/model/run.json');
const folder = process.env.MNIST_DIR;

function mnist(name) {
  const path = `${folder}/${name}`;
  return existsSync(path) ? readFileSync(path) : gunzipSync(readFileSync(`${path}.gz`));
}

function compare(what, found, wanted) {
  const equal = found === wanted;
  console.log(`${what}: ${equal ? 'equal' : `${found}, expected ${wanted}`}`);
  if (!equal) process.exitCode = 1;
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

function logits(network, digits) {
  network.give(digits);
  network.exports.logits_of_all();
  return sha256(network.output());
}

for (const path of process.argv.slice(2)) {
  console.log(`── ${path}`);
  const network = await Network.open(await WebAssembly.compile(readFileSync(path)));
  network.loadModel(readFileSync(here('../../firmware/model/mnist.cnnm')));
  const digits = new Uint8Array(10000 * 784);
  for (let i = 0; i < 10000; i++) {
    network.exports.sample(i);
    digits.set(network.pixels, 784 * i);
  }
  compare('10,000 logits of the built-in digits', logits(network, digits), expected.synthetic_logits);
  if (!folder) continue;
  compare('10,000 logits of MNIST', logits(network, mnist('t10k-images-idx3-ubyte').subarray(16)), expected.mnist_logits);

  for (const [test, split] of [[0, 'train'], [1, 't10k']]) {
    for (const kind of ['images-idx3-ubyte', 'labels-idx1-ubyte']) {
      network.give(mnist(`${split}-${kind}`));
      network.ask('take', test);
    }
  }
  network.give(new TextEncoder().encode('files'));
  const { batch_size, learning_rate, momentum, weight_decay, seed, shuffle } = record.settings;
  const begun = network.ask('begin', batch_size, learning_rate, momentum, weight_decay, BigInt(seed), Number(shuffle)).split('\n');
  compare('the data set', begun.slice(0, 2).join(' '), `${record.dataset.name} ${record.dataset.sha256}`);
  compare('the initial parameters', begun[4], record.initial_fingerprint);
  let start = performance.now();
  network.ask('train', 600);
  const training = performance.now() - start;
  start = performance.now();
  const fingerprint = network.ask('finish_epoch'), evaluation = performance.now() - start;
  const [first] = record.epochs;
  compare('an epoch of training', fingerprint, first.fingerprint);
  const numbers = new Float64Array(network.exports.memory.buffer, network.exports.numbers(), 6);
  compare('its losses', `${numbers[0]} ${numbers[3]}`, `${first.train_loss} ${first.test_loss}`);
  console.log(`${(training / 1000).toFixed(2)} s of training, ${(evaluation / 1000).toFixed(2)} s of evaluation`);
}
