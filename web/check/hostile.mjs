// Every byte that the page takes, hostile: node hostile.mjs MODULE [SEED]
//
// The inputs of the fuzz targets that the page has too, and damage to them and to whole files. The module refuses or takes
// each, in bounded memory and without a trap, and works afterwards as before.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { Network } from '../page/network.js';
import { read } from './files.mjs';

const [path, seed = '0'] = process.argv.slice(2);
// Milliseconds for each kind of input.
const TIME = 1000;
// What a small input may make of the module's memory, which also holds the run that is tried.
const MEMORY = 64 << 20;

const network = await Network.open(await WebAssembly.compile(readFileSync(path)));
const { exports } = network, model = read('firmware/model/mnist.cnnm');
network.loadModel(model);

// The checkpoint of a run of one epoch on two digits.
exports.draw(0, 2);
exports.draw(1, 1);
network.give(new TextEncoder().encode('digits\nconstant\nconv1,conv2,fc1,fc2'));
network.ask('begin', 2, 2, 0.03, 0.9, 0.005, 0n, 1);
for (const name of ['train', 'finish_epoch', 'checkpoint']) network.ask(name, 1);
const checkpoint = network.output().slice();

// Random numbers below a limit, the same for a seed.
let state = Number(seed);
function below(limit) {
  state = (state + 0x9e3779b9) | 0;
  let mixed = Math.imul(state ^ state >>> 16, 0x85ebca6b);
  mixed = Math.imul(mixed ^ mixed >>> 13, 0xc2b2ae35);
  return ((mixed ^ mixed >>> 16) >>> 0) % limit;
}

function damaged(bytes) {
  let result = Uint8Array.from(bytes);
  for (let times = 1 + below(4); times > 0; times--) {
    const at = below(Math.max(1, below(2) ? result.length : Math.min(result.length, 64)));
    switch (below(5)) {
      case 0: result = result.slice(0, at); break;
      case 1: result = Uint8Array.from([...result.slice(0, at), ...Array.from({ length: below(20) }, () => below(256)), ...result.slice(at)]); break;
      case 2: result[at] = [0, 1, 127, 128, 255][below(5)]; break;
      default: result[at] ^= 1 << below(8);
    }
  }
  return result;
}

function corpus(...targets) {
  const files = targets.flatMap((target) => ['corpus', 'regressions'].flatMap((kind) => {
    const folder = new URL(`../../fuzz/${kind}/${target}/`, import.meta.url);
    return existsSync(folder) ? readdirSync(folder).map((name) => new Uint8Array(readFileSync(new URL(name, folder)))) : [];
  }));
  assert.ok(files.length > 0, `the corpus of ${targets}`);
  return files;
}

// 1 with a reason, or 0.
function answers(code) {
  assert.ok(code === 0 || code === 1, `the answer ${code}`);
  if (code === 1) assert.ok(network.text().length > 0, 'a reason');
  return code;
}

const idx = (kind, ...words) => Uint8Array.from([0, 0, 8, kind, ...words.flatMap((word) => [word >>> 24, word >>> 16 & 255, word >>> 8 & 255, word & 255])]);
// What a board says to the first request, here with any contents.
const heard = (bytes) => {
  exports.board_opened(7);
  // A lesson of one sample, so that there is something to teach and to learn.
  network.give(new Uint8Array(785).fill(1));
  answers(exports.lesson_begin(3, 1, 0.01, 0.9, 0));
  answers(exports.lesson_epoch(1));
  // A question that is not asked leaves nothing to answer.
  if (answers(exports.board_ask(below(8), 0)) === 1) return 1;
  for (let times = 1; times < 9; times++) {
    network.give(bytes);
    const code = exports.board_hear(30000 * times);
    assert.ok(code <= 3);
    if (code < 2) return code;
  }
  return 0;
};
const anything = () => [NaN, Infinity, -Infinity, -1, -0, 0, 1e-45, 3e38, 0.5, 2 ** 32][below(10)];
const texts = ['constant', 'cosine', 'cosine:0.1', 'step:1:0.5', 'step:0:2', 'conv1', 'fc1,fc2', 'conv1,conv1', '', '\u0000', '<b>', '\n', 'é'.repeat(300)];
const kinds = {
  'model files': [[model, ...corpus('model')], (bytes) => {
    network.give(bytes);
    return answers(exports[['load_model', 'know_model'][below(2)]]());
  }],
  'IDX files': [[idx(3, 2, 28, 28), idx(1, 3), Uint8Array.from([...idx(1, 3), 1, 0, 9]), idx(3, 0xffffffff, 28, 28), ...corpus('idx')], (bytes) => {
    network.give(bytes);
    return answers(exports.take(below(2)));
  }],
  checkpoints: [[checkpoint, ...corpus('checkpoint')], (bytes) => {
    network.give(bytes);
    const code = answers(exports.take_checkpoint());
    // One that is taken is of some run, which is seldom that of the digits that are there.
    exports.forget();
    exports.draw(0, 2);
    exports.draw(1, 1);
    network.give(new TextEncoder().encode('digits\nconstant\nconv1,conv2,fc1,fc2'));
    answers(exports.begin(3, 2, 0.03, 0.9, 0.005, 0n, 1));
    return code;
  }],
  'what a board says': [corpus('protocol_host', 'protocol_board'), heard],
  pictures: [[new Uint8Array(4 * 30 * 20).fill(255), new Uint8Array(4)], (bytes) => {
    network.give(bytes);
    const sizes = [0, 1, 20, 30, below(100), 0xffffffff, 0x10000];
    return answers(exports.prepare(sizes[below(7)], sizes[below(7)]));
  }],
  'digits and parameters': [[new Uint8Array(784), new Uint8Array(4 * 102130)], (bytes) => {
    network.give(bytes);
    return answers(exports[['set_pixels', 'set_parameters'][below(2)]]());
  }],
  lessons: [[new Uint8Array(785), new Uint8Array(2 * 785).fill(9), new Uint8Array(785).fill(255), new Uint8Array()], (bytes) => {
    network.give(bytes);
    const code = answers(exports.lesson_begin([0, 1, 3, 0xffffffff][below(4)], [0, 1, 2, 0xffffffff][below(4)], anything(), anything(), anything()));
    if (code === 0) for (const epoch of [1, 2, below(4), 0xffffffff]) answers(exports.lesson_epoch(epoch));
    for (const name of ['lesson_look', 'lesson_head', 'lesson_model']) answers(exports[name]());
    answers(exports.lesson_mix_in([0, 1, 0xffffffff][below(3)]));
    if (below(9) === 0) exports.lesson_forget();
    return code;
  }],
  settings: [texts.map((text) => new TextEncoder().encode(text)), () => {
    exports.forget();
    exports.draw(0, below(4));
    exports.draw(1, below(3));
    network.give(new TextEncoder().encode([0, 1, 2].map(() => texts[below(texts.length)]).join('\n')));
    const code = answers(exports.begin(below(3), [0, 1, 2, 0xffffffff][below(4)], anything(), anything(), anything(), 0xffffffffffffffffn, below(2)));
    if (code === 0) for (const name of ['train', 'probe', 'finish_epoch', 'model', 'train']) answers(exports[name](1));
    return code;
  }],
};

for (const [name, [pool, run]] of Object.entries(kinds)) {
  const counts = [0, 0], end = performance.now() + TIME;
  for (const input of pool) counts[run(input)]++;
  while (performance.now() < end) counts[run(damaged(pool[below(pool.length)]))]++;
  assert.ok(counts[1] > 0, `${name}: something is refused`);
  console.log(`${name}: ${counts[1]} refused, ${counts[0]} taken`);
}
assert.ok(exports.memory.buffer.byteLength < MEMORY, `${exports.memory.buffer.byteLength} bytes of memory`);
assert.equal(exports.input(0xffffffff), 0, 'no place for four gigabytes');
network.loadModel(model);
exports.sample(0);
network.give(network.pixels.slice());
exports.logits_of_all();
const first = createHash('sha256').update(network.output()).digest('hex');
const fresh = await Network.open(await WebAssembly.compile(readFileSync(path)));
fresh.loadModel(model);
fresh.exports.sample(0);
fresh.give(fresh.pixels.slice());
fresh.exports.logits_of_all();
assert.equal(createHash('sha256').update(fresh.output()).digest('hex'), first, 'it works as before');
console.log(`the module works as before, in ${exports.memory.buffer.byteLength >> 20} MiB`);
