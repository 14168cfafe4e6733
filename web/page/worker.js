// Training in a thread of its own. Between two pieces of an epoch it reports, and listens for pause and stop.

import { Network } from './network.js';

// How long a piece may take, and how often the curves get a point, in milliseconds.
const PIECE = 50, POINT = 400;

let network, complete = 0, paused = false, stopped = false, wake = () => {};

const handlers = {
  run: (data) => run(data).catch((error) => postMessage({ kind: 'failed', message: error.message })),
  pause: () => { paused = true; },
  resume: () => { paused = false; wake(); },
  checkpoint: () => postMessage({ kind: 'checkpoint', epoch: complete, bytes: file('checkpoint') }),
  stop: () => { stopped = true; paused = false; wake(); },
};
onmessage = ({ data }) => handlers[data.kind](data);

// Lets messages in, and waits as long as the run is paused.
async function listen() {
  await new Promise((resolve) => { setTimeout(resolve); });
  if (paused) {
    postMessage({ kind: 'paused' });
    await new Promise((resolve) => { wake = resolve; });
  }
  return !stopped;
}

async function gather({ files }) {
  network.exports.forget();
  if (files) {
    for (const { test, bytes, name } of files) {
      network.give(bytes);
      try {
        network.ask('take', test);
      } catch (error) {
        throw new Error(`${name}: ${error.message}`);
      }
    }
    return true;
  }
  for (const [test, length] of [[0, 60000], [1, 10000]]) {
    for (let drawn = 0; drawn < length; drawn += 1000) {
      network.exports.draw(test, 1000);
      postMessage({ kind: 'progress', what: 'Drawing digits', share: (test * 60000 + drawn + 1000) / 70000 });
      if (!await listen()) return false;
    }
  }
  return true;
}

const numbers = (length) => Array.from(new Float64Array(network.exports.memory.buffer, network.exports.numbers(), length));

async function run({ module, settings, name, files, epochs, checkpoint, first }) {
  network = await Network.open(module);
  network.give(checkpoint ?? new Uint8Array());
  network.ask('take_checkpoint');
  if (!await gather({ files })) return postMessage({ kind: 'done' });
  const { batch, rate, momentum, decay, seed, shuffle } = settings;
  network.give(new TextEncoder().encode([name, settings.schedule, settings.layers].join('\n')));
  const [dataset, sha256, train, test, initial, schedule, layers, backend] = network.ask('begin', epochs, batch, rate, momentum, decay, BigInt(seed), Number(shuffle)).split('\n');
  postMessage({ kind: 'began', dataset: { name: dataset, sha256, train_count: Number(train), test_count: Number(test) }, initial, schedule, layers, backend });
  for (let epoch = first; epoch <= epochs; epoch++) {
    if (!await trainEpoch(epoch, Number(train))) break;
  }
  postMessage({ kind: 'done' });
}

async function trainEpoch(epoch, images) {
  let steps = 1, training = 0, point = performance.now();
  while (network.exports.done() < images) {
    const start = performance.now();
    network.ask('train', steps);
    const took = performance.now() - start;
    training += took;
    steps = Math.max(1, Math.min(2 * steps, Math.floor(steps * PIECE / Math.max(took, 1))));
    const share = network.exports.done() / images;
    postMessage({ kind: 'progress', what: `Epoch ${epoch}`, share });
    if (performance.now() - point > POINT) {
      report('point', { at: epoch - 1 + share });
      point = performance.now();
    }
    if (!await listen()) return false;
  }
  postMessage({ kind: 'progress', what: `Epoch ${epoch}: measuring`, share: 1 });
  const start = performance.now();
  const fingerprint = network.ask('finish_epoch');
  const [trainLoss, trainRight, trainCount, testLoss, testRight, testCount] = numbers(6);
  const seconds = { training: training / 1000, evaluation: (performance.now() - start) / 1000 };
  network.exports.timed(seconds.training, seconds.evaluation);
  complete = epoch;
  report('point', { at: epoch });
  postMessage({ kind: 'epoch', fingerprint, seconds, model: file('model'), metrics: {
    epoch, train_loss: trainLoss, train_accuracy: trainRight / trainCount, test_loss: testLoss, test_accuracy: testRight / testCount } });
  return listen();
}

// A file of what the last complete epoch left.
function file(name) {
  network.ask(name);
  return network.output().slice();
}

// How the first test images are read now, and the parameters.
function report(kind, extra) {
  network.ask('probe');
  const [loss, right, count] = numbers(3);
  postMessage({ kind, loss, accuracy: right / count, parameters: network.parameters.slice(), ...extra });
}
