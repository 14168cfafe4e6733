// Everything together: what is drawn goes through the network, and every value of it can be looked at.

import { Board } from './board.js';
import { describe, element, heading } from './detail.js';
import { explain } from './explain.js';
import { Lesson } from './lesson.js';
import { live } from './live.js';
import { files, known } from './load.js';
import { Maps } from './maps.js';
import { LAYERS, Network } from './network.js';
import { Pad } from './pad.js';
import { grey, onPaletteChange, patches } from './paint.js';
import { read } from './picture.js';
import { Training } from './train.js';

const $ = (id) => document.getElementById(id);
const say = (text) => { $('status').textContent = text; };

// A walk through the shapes, in the words of the tutorial that the network is from.
const WALK = [
  ['28×28', 'image', 'The input: one channel of 28×28 pixels, each normalised to lie between −1 and 1.'],
  ['16×26×26', 'conv1', 'conv1 slides sixteen 3×3 kernels over the image, stride 1, no padding. Each value is the sum of a patch times a kernel, plus a bias. A window of 3 fits 26 times into 28.'],
  ['16×13×13', 'pool1', 'ReLU makes everything below zero zero; max-pooling keeps the largest of each 2×2 window. Half the side: 13.'],
  ['32×11×11', 'conv2', 'conv2 does the same with 32 kernels, each of them 3×3 on all 16 maps at once. 13 becomes 11.'],
  ['32×5×5', 'pool2', 'ReLU and max-pooling again. 11 is odd: its last row and column have no partner and are dropped, so 5 are left.'],
  ['800', 'pool2', 'Flattened: 32 maps of 5×5 are a list of 800 values.'],
  ['120', 'hidden', 'fc1: each of 120 values is the sum of all 800, each times a weight, plus a bias; then ReLU.'],
  ['10', 'logits', 'fc2: ten scores, one a digit, from the 120. The largest wins; softmax makes them probabilities.'],
];
const COLUMNS = { image: [1, 7], conv1: [8, 4], pool1: [8, 6], conv2: [8, 6], pool2: [16, 8], hidden: [1, 16], logits: [1, 40] };
const NOTES = {
  image: 'the normalised digit', conv1: '16 maps of 26×26, before ReLU', pool1: '16 maps of 13×13', conv2: '32 maps of 11×11, before ReLU',
  pool2: '32 maps of 5×5', hidden: '120 values, from left to right and from top to bottom', logits: 'ten scores, digits 0 to 9',
};

const KERNELS = {
  conv1: { text: 'Its 16 kernels', from: 0, to: 144, columns: 16, scale: 10 },
  conv2: { text: 'Its 512 kernels: 16 for each of the 32 maps, four maps in a row', from: 160, to: 4768, columns: 64, scale: 4 },
};

let network, model, pad, training, lesson, chosen = null, focus = 0, timer = null;
const maps = {};

async function start() {
  // Made while files are on their way.
  build();
  pad = new Pad($('pad'), () => soon(drawn));
  const [module, bytes] = await files;
  [network, model] = [await Network.open(module), bytes];
  take(model, 'The model');
  document.body.dataset.answered = String(Math.round(performance.now()));
  // The answer is seen before all the rest is made.
  await new Promise((resolve) => { requestAnimationFrame(() => setTimeout(resolve)); });
  training = new Training(module, await known, shown, (file) => network.knowModel(file), say);
  lesson = new Lesson(network, new Board(network), training, redraw);
  connect();
  samples();
  document.body.dataset.ready = 'yes';
  // Where the page is on a site, it works without the network from now on. A server on this machine needs no copy.
  if (location.protocol === 'https:') navigator.serviceWorker?.register('offline.js').catch(() => {});
}

// What draws at most once a frame.
let wanted = null;
function soon(work) {
  if (wanted === null) requestAnimationFrame(settle);
  wanted = work;
}
function settle() {
  const work = wanted;
  wanted = null;
  work?.();
}

function build() {
  for (let digit = 0; digit < 10; digit++) $('bars').append(element('li', {}, element('span', { className: 'bar' }), element('span')));
  WALK.forEach(([shape, name, text], i) => {
    const button = element('button', { type: 'button', textContent: shape });
    button.addEventListener('click', () => walk(i, button, name, text));
    $('walk').append(element('li', {}, button));
  });
  for (const name of Object.keys(LAYERS)) {
    const canvas = element('canvas', { tabIndex: 0 });
    canvas.setAttribute('role', 'application');
    const figure = element('figure', { id: `layer-${name}` }, element('figcaption', { textContent: `${LAYERS[name].title}: ${NOTES[name]}` }));
    if (KERNELS[name]) {
      const kernels = element('canvas', { id: `kernels-${name}`, className: 'kernels' });
      kernels.setAttribute('role', 'img');
      kernels.setAttribute('aria-label', `The kernels of ${name}, 3 by 3`);
      figure.append(element('p', { className: 'hint', textContent: KERNELS[name].text }), kernels, element('p', { className: 'hint', textContent: 'What they make of the layer before' }));
    }
    if (COLUMNS[name][0] === 1) figure.className = 'short';
    figure.append(canvas);
    canvas.setAttribute('aria-label', `${LAYERS[name].title}, ${NOTES[name]}. Arrow keys choose a value, Page Up and Page Down a map.`);
    $('layers').append(figure);
    maps[name] = new Maps(canvas, name, ...COLUMNS[name], choose);
  }
}

function walk(i, button, name, text) {
  for (const other of $('walk').querySelectorAll('button')) other.removeAttribute('aria-current');
  button.setAttribute('aria-current', 'step');
  for (const figure of $('layers').children) delete figure.dataset.current;
  const figure = $(`layer-${name}`);
  figure.dataset.current = 'yes';
  $('step-text').textContent = `${i + 1} of ${WALK.length}. ${text}`;
  figure.scrollIntoView({ block: 'nearest' });
}

function connect() {
  // Whatever a button does with the digit, it does with the one that was drawn last.
  document.addEventListener('click', settle, true);
  $('undo').addEventListener('click', () => pad.undo());
  $('clear').addEventListener('click', () => pad.clear());
  for (const id of ['picture', 'camera']) {
    $(id).addEventListener('change', () => {
      if ($(id).files.length > 0) picture($(id).files[0]);
      $(id).value = '';
    });
  }
  $('model').addEventListener('change', async () => {
    const [opened] = $('model').files;
    $('model').value = '';
    if (opened) open(opened);
  });
  $('reset').addEventListener('click', () => take(model, 'The model'));
  addEventListener('paste', (event) => {
    const [pasted] = event.clipboardData.files;
    if (pasted) picture(pasted);
  });
  addEventListener('dragover', (event) => { event.preventDefault(); document.body.classList.add('dropping'); });
  addEventListener('dragleave', () => document.body.classList.remove('dropping'));
  addEventListener('drop', (event) => {
    event.preventDefault();
    document.body.classList.remove('dropping');
    const { files } = event.dataTransfer;
    if (files.length > 1) training.take(files);
    else if (files.length === 1) dropped(files[0]);
  });
  $('back').addEventListener('click', () => step(-1));
  $('forward').addEventListener('click', () => step(1));
  $('play').addEventListener('click', () => play(timer === null));
  onPaletteChange(() => {
    kernels();
    redraw();
  });
}

// One file is a picture, unless its first bytes are a model's.
async function dropped(one) {
  const start = new Uint8Array(await one.slice(0, 4).arrayBuffer());
  await (String.fromCharCode(...start) === 'CNNM' ? open(one) : picture(one));
}

async function open(one) {
  // No model file is longer; nothing of a longer one is read.
  const bytes = one.size <= 1 << 20 ? new Uint8Array(await one.arrayBuffer()) : new Uint8Array(0);
  take(bytes, one.name);
}

function take(bytes, name) {
  try {
    const trained = network.loadModel(bytes);
    say(`${name}: ${trained}; fingerprint ${network.fingerprint().slice(0, 16)}. Its golden image gives the file's ten logits, bit for bit.`);
    if (!pad.isEmpty) drawn();
    else redraw();
    kernels();
  } catch (error) {
    say(`${name} is not taken: ${error.message}`);
  }
}

async function picture(one) {
  try {
    const { canvas, pixels } = await read(one);
    // On a square of paper, whole.
    const { width: side } = $('pad'), paper = element('canvas', { width: side, height: side }), scale = side / Math.max(canvas.width, canvas.height);
    const [width, height] = [canvas.width * scale, canvas.height * scale];
    paper.getContext('2d').drawImage(canvas, (side - width) / 2, (side - height) / 2, width, height);
    pad.show(paper);
    remark(network.prepare(pixels));
    redraw();
    say(`${one.name || 'The picture'}: prepared as the program does`);
  } catch (error) {
    say(`${one.name || 'The picture'}: ${error.message}`);
  }
}

function drawn() {
  const begin = performance.now();
  if (pad.isEmpty) {
    network.setPixels(new Uint8Array(784));
    remark([]);
    redraw();
    return;
  }
  try {
    remark(network.prepare(pad.picture()));
  } catch (error) {
    remark([error.message]);
  }
  redraw();
  document.body.dataset.frame = (performance.now() - begin).toFixed(2);
}

const remark = (lines) => $('remarks').replaceChildren(...lines.map((textContent) => element('li', { textContent })));

// Parameters of a run that goes on.
function shown(parameters) {
  network.setParameters(parameters);
  kernels();
  redraw();
}

function samples() {
  const seen = new Set(), shownDigit = network.pixels.slice();
  for (let index = 0; seen.size < 10; index++) {
    const label = network.exports.sample(index);
    if (seen.has(label)) continue;
    seen.add(label);
    const small = element('canvas', { width: 28, height: 28 });
    small.getContext('2d').putImageData(grey(network.pixels, 28, 28), 0, 0);
    const button = element('button', { type: 'button', ariaLabel: `Sample ${label}` }, small);
    button.addEventListener('click', () => {
      network.exports.sample(index);
      const paper = element('canvas', { width: 28, height: 28 });
      paper.getContext('2d').putImageData(grey(network.pixels.map((value) => 255 - value), 28, 28), 0, 0);
      pad.show(paper);
      remark([]);
      redraw();
    });
    button.style.order = label;
    $('samples').append(button);
  }
  // The digits above were drawn for their pictures alone.
  network.setPixels(shownDigit);
}

function kernels() {
  for (const [name, { from, to, columns, scale }] of Object.entries(KERNELS)) patches($(`kernels-${name}`), network.parameters.subarray(from, to), columns, scale);
}

function redraw() {
  const best = network.look();
  $('prepared').getContext('2d').putImageData(grey(network.pixels, 28, 28), 0, 0);
  const probabilities = network.floats('probabilities', 10);
  [...$('bars').children].forEach((line, digit) => {
    line.classList.toggle('best', digit === best);
    line.firstChild.style.width = `${100 * probabilities[digit]}px`;
    line.lastChild.textContent = `${(100 * probabilities[digit]).toFixed(2)} %`;
  });
  const answer = `It reads ${best}`;
  if ($('prediction').textContent !== answer) $('prediction').textContent = answer;
  lesson?.show(best);
  detail();
  paint();
}

function choose(name, channel, row, column) {
  if (chosen && chosen.name !== name) focus = 0;
  chosen = { name, channel, row, column };
  detail();
  paint();
}

function paint() {
  for (const [name, map] of Object.entries(maps)) map.draw(() => network.values(name));
}

// Shows what made the chosen value, and marks what it came from.
function detail() {
  for (const map of Object.values(maps)) Object.assign(map, { chosen: null, marked: [] });
  if (!chosen) return;
  const { name, channel, row, column } = chosen, { layer } = maps[name];
  const made = explain(network, name, channel, row, column);
  if (layer.kind === 'conv' && made.terms.length > 9 && focus >= LAYERS[layer.from].channels) focus = 0;
  maps[name].chosen = chosen;
  const source = maps[layer.from];
  if (layer.kind === 'conv') source.marked = [{ channel: focus, row, column, width: 3, height: 3 }];
  if (layer.kind === 'pool') source.marked = [{ channel, row: 2 * row, column: 2 * column, width: 2, height: 2 }];
  $('detail-title').textContent = heading(made);
  const held = document.activeElement?.closest('.tiny') ? focus : null;
  $('explanation').replaceChildren(...describe(made, focus, (next) => { focus = next; choose(name, channel, row, column); }));
  if (held !== null) $('explanation').querySelectorAll('.tiny button')[focus]?.focus();
  document.body.dataset.equal = String(made.equal);
}

// The window goes on over the map, in raster order.
function step(by) {
  const { name, channel, row, column } = chosen ?? { name: 'conv1', channel: 0, row: 0, column: -by };
  const { width, height } = LAYERS[name], size = width * height;
  const next = (row * width + column + by + size) % size;
  choose(name, channel, Math.floor(next / width), next % width);
}

function play(on) {
  clearInterval(timer);
  timer = on ? setInterval(() => step(1), 250) : null;
  $('play').setAttribute('aria-pressed', String(on));
  // Read out at every step it would only disturb.
  $('explanation').setAttribute('aria-live', on ? 'off' : 'polite');
}

// The address that `train --live` prints.
if (new URLSearchParams(location.search).has('live')) live();

start().catch((error) => {
  say(`This page does not start: ${error.message}. It needs a browser with WebAssembly and its vectors (SIMD), of 2023 or later, and has to come from a server.`);
});
