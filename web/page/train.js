// The controls of a run in the worker, its curves and its fingerprints.

import { element } from './detail.js';
import { Refusal } from './network.js';

const $ = (id) => document.getElementById(id);
const PRESETS = { demo: { rate: 0.03, epochs: 3 }, tutorial: { rate: 0.0001, epochs: 100 } };
// What the worker's module takes (MAX_INPUT in web/src/exports.rs), packed or not.
const MAX_BYTES = 240 << 20;
const NUMBERS = ['batch', 'rate', 'momentum', 'decay', 'seed'];

export class Training {
  // `known`: runs whose fingerprints are known. `show` hears of new parameters, `say` of what goes wrong.
  constructor(module, known, show, say) {
    Object.assign(this, { module, known, show, say, files: null, worker: null, run: null });
    $('preset').addEventListener('change', () => this.preset());
    $('data').addEventListener('change', () => { $('files-label').hidden = $('data').value !== 'files'; });
    $('files').addEventListener('change', () => this.take($('files').files));
    $('settings').addEventListener('submit', (event) => { event.preventDefault(); this.start(); });
    $('pause').addEventListener('click', () => this.pause());
    $('stop').addEventListener('click', () => this.worker?.postMessage({ kind: 'stop' }));
    $('save-model').addEventListener('click', () => this.worker?.postMessage({ kind: 'model' }));
    $('save-record').addEventListener('click', () => save('run.json', `${JSON.stringify(this.record(), null, 2)}\n`));
    $('record').addEventListener('change', () => this.compare($('record').files[0]));
  }

  preset() {
    const { rate, epochs } = PRESETS[$('preset').value];
    [$('rate').value, $('epochs').value] = [rate, epochs];
  }

  // Files of a data set, from wherever.
  take(files) {
    this.files = [...files];
    $('data').value = 'files';
    $('files-label').hidden = false;
    $('progress-text').textContent = `Files: ${this.files.map((file) => file.name).join(', ')}`;
  }

  // A record of the program, or of this page: its fingerprints are known from now on.
  async compare(file) {
    try {
      if (file.size > 1 << 20) throw new Refusal('is too long for a record');
      const record = JSON.parse(await file.text());
      // Version 2 has schedules, given parameters or layers that are kept: runs that this page has none of.
      if (record.versions.record !== 1) throw new Refusal('is of a run that this page cannot have');
      const fingerprints = record.epochs.map(({ fingerprint }) => String(fingerprint));
      this.known.unshift({ settings: { ...record.settings }, sha256: String(record.dataset.sha256), fingerprints });
      this.say(`${file.name}: the fingerprints of ${fingerprints.length} epochs are compared with from the next run on`);
    } catch (error) {
      this.say(`${file.name} ${error instanceof Refusal ? error.message : 'is no record of a run'}`);
    }
  }

  async start() {
    this.worker?.terminate();
    const settings = Object.fromEntries(NUMBERS.map((name) => [name, $(name).valueAsNumber]));
    settings.shuffle = $('shuffle').checked;
    const epochs = $('epochs').valueAsNumber;
    let files = null;
    try {
      if ($('data').value === 'files') files = await read(this.files);
    } catch (error) {
      this.say(error.message);
      return;
    }
    this.run = { settings, epochs, dataset: null, initial: null, points: [], reports: [], seconds: { training: 0, evaluation: 0 }, began: performance.now(), total: 0 };
    $('epochs-done').replaceChildren();
    this.worker = new Worker('worker.js', { type: 'module' });
    this.worker.onmessage = ({ data }) => this.hear(data);
    this.worker.onerror = (event) => this.hear({ kind: 'failed', message: event.message || 'the worker failed' });
    this.worker.postMessage({ kind: 'run', module: this.module, settings, epochs, files, name: files ? 'files' : 'synthetic digits (seed 0)' });
    this.buttons(true);
    this.curves();
  }

  buttons(runs) {
    $('fields').disabled = runs;
    [$('start').disabled, $('pause').disabled, $('stop').disabled] = [runs, !runs, !runs];
    $('pause').textContent = 'Pause';
  }

  pause() {
    const resumes = $('pause').textContent === 'Resume';
    this.worker.postMessage({ kind: resumes ? 'resume' : 'pause' });
    $('pause').textContent = resumes ? 'Pause' : 'Resume';
  }

  hear(data) {
    const { run } = this;
    switch (data.kind) {
      case 'progress':
        $('progress').value = data.share;
        $('progress-text').textContent = `${data.what}: ${Math.floor(100 * data.share)} %`;
        break;
      case 'paused': $('progress-text').textContent += ', paused'; break;
      case 'began': Object.assign(run, { dataset: data.dataset, initial: data.initial, fingerprints: this.knownOnes(data.dataset) }); break;
      case 'point':
        run.points.push([data.at, data.loss, data.accuracy]);
        this.curves();
        this.show(data.parameters);
        break;
      case 'epoch':
        run.reports.push({ ...data.metrics, fingerprint: data.fingerprint });
        run.seconds.training += data.seconds.training;
        run.seconds.evaluation += data.seconds.evaluation;
        run.total = (performance.now() - run.began) / 1000;
        this.addRow(data);
        break;
      case 'model': save('weights.postcard', data.file); break;
      case 'failed': this.say(data.message); this.buttons(false); break;
      case 'done': $('progress-text').textContent = `${run.reports.length} of ${run.epochs} epochs are complete`; this.buttons(false); break;
    }
  }

  knownOnes(dataset) {
    const { batch, rate, momentum, decay, seed, shuffle } = this.run.settings, same = (a, b) => Object.is(Math.fround(a), Math.fround(b));
    const known = this.known.find(({ sha256, settings: it }) => sha256 === dataset.sha256 && it.batch_size === batch && same(it.learning_rate, rate)
      && same(it.momentum, momentum) && same(it.weight_decay, decay) && it.seed === seed && it.shuffle === shuffle);
    return known?.fingerprints ?? [];
  }

  addRow({ metrics, fingerprint, seconds }) {
    const known = this.run.fingerprints[metrics.epoch - 1];
    const verdict = known === undefined ? ['', 'none'] : known === fingerprint ? ['equal', 'equal'] : ['differs', `differs: ${known.slice(0, 16)}`];
    const cells = [metrics.epoch, metrics.train_loss.toFixed(4), `${(100 * metrics.train_accuracy).toFixed(2)} %`, metrics.test_loss.toFixed(4), `${(100 * metrics.test_accuracy).toFixed(2)} %`];
    $('epochs-done').append(element('tr', { title: `${seconds.training.toFixed(2)} s of training, ${seconds.evaluation.toFixed(2)} s of evaluation` },
      ...cells.map((cell) => element('td', { textContent: String(cell) })),
      element('td', { textContent: fingerprint.slice(0, 16), title: fingerprint }), element('td', { className: verdict[0], textContent: verdict[1] })));
    for (const id of ['save-model', 'save-record']) $(id).disabled = false;
    document.body.dataset.epoch = `${metrics.epoch} ${fingerprint} ${verdict[1]} ${seconds.training} ${seconds.evaluation}`;
  }

  curves() {
    const { points, epochs } = this.run, last = points.at(-1);
    for (const [id, index, unit] of [['loss', 1, ''], ['accuracy', 2, ' %']]) {
      const canvas = $(id), context = canvas.getContext('2d'), { width, height } = canvas, style = getComputedStyle(canvas);
      const top = index === 2 ? 1 : Math.max(2.4, ...points.map((point) => point[index]));
      const [left, bottom] = [44, 20], x = (at) => left + at / epochs * (width - left - 8), y = (value) => 8 + (1 - value / top) * (height - bottom - 8);
      context.clearRect(0, 0, width, height);
      [context.fillStyle, context.strokeStyle, context.font, context.lineWidth] = [style.color, style.color, '12px system-ui, sans-serif', 1];
      for (const share of [0, 0.5, 1]) {
        context.globalAlpha = 0.35;
        context.beginPath(); context.moveTo(left, y(share * top)); context.lineTo(width - 8, y(share * top)); context.stroke();
        context.globalAlpha = 1;
        context.fillText(index === 2 ? `${100 * share} %` : (share * top).toFixed(1), 4, y(share * top) + 4);
      }
      context.fillText('epoch', left, height - 4);
      context.fillText(String(epochs), width - 8 - context.measureText(String(epochs)).width, height - 4);
      [context.strokeStyle, context.lineWidth] = [style.getPropertyValue('--above'), 2];
      context.beginPath();
      for (const point of points) context.lineTo(x(point[0]), y(point[index]));
      context.stroke();
      const value = last && (index === 2 ? (100 * last[2]).toFixed(1) : last[1].toFixed(3));
      canvas.setAttribute('aria-label', `${id === 'loss' ? 'Loss' : 'Accuracy'} over ${epochs} epochs${last ? `, now ${value}${unit}` : ''}`);
    }
  }

  // As the program writes it (docs/output.md): its `verify` takes it.
  record() {
    const { settings: it, epochs, dataset, initial, reports, seconds, total } = this.run;
    const rate = (value) => Math.fround(value);
    return {
      versions: { record: 1, program: 'page' }, status: reports.length === epochs ? 'complete' : 'interrupted',
      settings: { epochs, batch_size: it.batch, learning_rate: rate(it.rate), momentum: rate(it.momentum), weight_decay: rate(it.decay), seed: it.seed, shuffle: it.shuffle },
      dataset, backend: 'cpu (simd128, 1 thread)', host: { arch: 'wasm32', os: 'browser' },
      seconds: { ...seconds, total }, initial_fingerprint: initial, epochs: reports,
    };
  }
}

function save(name, contents) {
  const link = element('a', { href: URL.createObjectURL(new Blob([contents])), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// The four files, unpacked, and which split each is of, by its name.
async function read(files) {
  if (!files || files.length !== 4) throw new Refusal('four files are needed: images and labels to train with, and to test with');
  return Promise.all(files.map(async (file) => {
    const { name } = file, test = /t10k|test/i.test(name);
    if (!test && !/train/i.test(name)) throw new Refusal(`${name}: the name has to say train, or t10k or test`);
    return { name, test: Number(test), bytes: await unpacked(file) };
  }));
}

async function unpacked(file) {
  if (file.size > MAX_BYTES) throw new Refusal(`${file.name} is too long`);
  const start = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  if (start[0] !== 0x1f || start[1] !== 0x8b) return new Uint8Array(await file.arrayBuffer());
  const pieces = [];
  let length = 0;
  try {
    for await (const piece of chunks(file.stream().pipeThrough(new DecompressionStream('gzip')))) {
      length += piece.length;
      if (length > MAX_BYTES) throw new Refusal(`${file.name} is too long once it is unpacked`);
      pieces.push(piece);
    }
  } catch (error) {
    throw error instanceof Refusal ? error : new Refusal(`${file.name} is a damaged .gz archive`);
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

// Not every browser iterates over streams.
async function* chunks(stream) {
  const reader = stream.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    reader.cancel().catch(() => {});
  }
}
