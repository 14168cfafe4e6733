// The controls of a run in the worker, its curves and its fingerprints.

import { curve } from './curves.js';
import { element } from './detail.js';
import { Network, Refusal } from './network.js';

const $ = (id) => document.getElementById(id);
const PRESETS = { demo: { rate: 0.03, epochs: 3 }, tutorial: { rate: 0.0001, epochs: 100 } };
// What the worker's module takes (MAX_INPUT in web/src/exports.rs), packed or not.
const MAX_BYTES = 240 << 20;
// And of a checkpoint, as the program takes it (docs/checkpoint.md).
const MAX_CHECKPOINT = 64 << 20;
const LAYERS = ['conv1', 'conv2', 'fc1', 'fc2'];
// The buttons that save what the last complete epoch left.
const FILES = ['save-model', 'save-checkpoint', 'save-record'];
const NUMBERS = ['batch', 'rate', 'momentum', 'decay', 'seed'];

// What records leave out.
const DEFAULTS = { learning_rate_schedule: 'constant', trained_layers: LAYERS.join(',') };
const same = (a, b) => (typeof a === 'number' && typeof b === 'number' ? Object.is(Math.fround(a), Math.fround(b)) && (!Number.isInteger(a) || a === b) : a === b);

export class Training {
  // `known`: runs whose fingerprints are known. `show` hears of new parameters, `know` of the model file of those of an
  // epoch's end, `say` of what goes wrong.
  constructor(module, known, show, know, say) {
    Object.assign(this, { module, known, show, know, say, files: null, from: null, worker: null, run: null });
    $('preset').addEventListener('change', () => this.preset());
    $('data').addEventListener('change', () => { $('files-label').hidden = $('data').value !== 'files'; });
    $('files').addEventListener('change', () => this.take($('files').files));
    $('settings').addEventListener('submit', (event) => { event.preventDefault(); this.start(); });
    $('pause').addEventListener('click', () => this.pause());
    $('stop').addEventListener('click', () => this.worker?.postMessage({ kind: 'stop' }));
    $('save-model').addEventListener('click', () => save('weights.postcard', this.run.model));
    $('save-checkpoint').addEventListener('click', () => this.worker.postMessage({ kind: 'checkpoint' }));
    $('save-record').addEventListener('click', () => save('run.json', `${JSON.stringify(this.record(), null, 2)}\n`));
    $('checkpoint').addEventListener('change', () => this.goOnFrom($('checkpoint').files[0]));
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
      if (![1, 2].includes(record.versions.record)) throw new Refusal('is of another version of the program');
      if (record.initial_file !== undefined) throw new Refusal('is of a run from given parameters, which this page has none of');
      const fingerprints = record.epochs.map(({ fingerprint }) => String(fingerprint));
      this.known.unshift({ settings: { ...record.settings }, sha256: String(record.dataset.sha256), fingerprints });
      this.say(`${file.name}: the fingerprints of ${fingerprints.length} epochs are compared with from the next run on`);
    } catch (error) {
      this.say(`${file.name} ${error instanceof Refusal ? error.message : 'is no record of a run'}`);
    }
  }

  // A checkpoint of the program, or of this page: its settings are those of the next run, which goes on after its last epoch.
  async goOnFrom(file) {
    this.from = null;
    try {
      if (file.size > MAX_CHECKPOINT) throw new Refusal('it is too long');
      const bytes = new Uint8Array(await file.arrayBuffer()), network = await Network.open(this.module);
      network.give(bytes);
      const [epochs, batch, rate, momentum, decay, seed, shuffle, schedule, layers, dataset, sha256, initialFile, ...done] = network.ask('take_checkpoint').split('\n');
      if (!Number.isSafeInteger(Number(seed))) throw new Refusal(`its seed, ${seed}, is too large for this page`);
      const fields = { epochs: Math.max(epochs, done.length + 1), batch, rate, momentum, decay, seed, schedule };
      for (const [name, value] of Object.entries(fields)) $(name).value = value;
      $('shuffle').checked = shuffle === '1';
      for (const layer of LAYERS) $(`train-${layer}`).checked = layers.split(',').includes(layer);
      this.from = { bytes, initialFile, ...reportsOf(done) };
      this.say(`${file.name}: ${done.length} epochs of a run on ${dataset} (${sha256.slice(0, 16)}); Train goes on after them`);
    } catch (error) {
      this.say(`${file.name}: ${error instanceof Refusal ? error.message : 'it cannot be read'}`);
    } finally {
      $('checkpoint').value = '';
    }
  }

  async start() {
    this.worker?.terminate();
    // A zero has no sign in a record.
    const settings = Object.fromEntries(NUMBERS.map((name) => [name, $(name).valueAsNumber + 0]));
    settings.shuffle = $('shuffle').checked;
    settings.schedule = $('schedule').value.trim();
    settings.layers = LAYERS.filter((layer) => $(`train-${layer}`).checked).join(',');
    const epochs = $('epochs').valueAsNumber;
    let files = null;
    try {
      if ($('data').value === 'files') files = await readFiles(this.files);
    } catch (error) {
      this.say(error.message);
      return;
    }
    const from = this.from ?? { bytes: null, ...reportsOf([]) };
    this.from = null;
    this.run = { settings, epochs, from, dataset: null, initial: null, points: [], reports: [], seconds: { ...from.seconds }, began: performance.now(), total: 0 };
    $('epochs-done').replaceChildren();
    for (const id of FILES) $(id).disabled = true;
    this.worker = new Worker('worker.js', { type: 'module' });
    this.worker.onmessage = ({ data }) => this.hear(data);
    this.worker.onerror = (event) => this.hear({ kind: 'failed', message: event.message || 'the worker failed' });
    this.worker.postMessage({ kind: 'run', module: this.module, settings, epochs, files, checkpoint: from.bytes, first: from.reports.length + 1, name: files ? 'files' : 'synthetic digits (seed 0)' });
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
      case 'began':
        Object.assign(run.settings, { schedule: data.schedule, layers: data.layers });
        Object.assign(run, { dataset: data.dataset, initial: data.initial, backend: data.backend, fingerprints: this.knownOnes(data.dataset) });
        for (const report of run.from.reports) {
          run.reports.push(report);
          run.points.push([report.epoch, report.test_loss, report.test_accuracy]);
          this.addRow({ metrics: report, fingerprint: report.fingerprint, seconds: null });
        }
        break;
      case 'point':
        run.points.push([data.at, data.loss, data.accuracy]);
        this.curves();
        this.show(data.parameters);
        break;
      case 'epoch':
        run.reports.push({ ...data.metrics, fingerprint: data.fingerprint });
        run.seconds.training += data.seconds.training;
        run.seconds.evaluation += data.seconds.evaluation;
        run.model = data.model;
        this.know(data.model);
        run.total = run.from.total + (performance.now() - run.began) / 1000;
        this.addRow(data);
        for (const id of FILES) $(id).disabled = false;
        document.body.dataset.epoch = `${data.metrics.epoch} ${data.fingerprint} ${this.verdict(data)} ${data.seconds.training} ${data.seconds.evaluation}`;
        break;
      case 'checkpoint': save(`epoch-${String(data.epoch).padStart(6, '0')}.checkpoint`, data.bytes); break;
      case 'failed': this.say(data.message); this.buttons(false); break;
      case 'done': $('progress-text').textContent = `${run.reports.length} of ${run.epochs} epochs are complete`; this.buttons(false); break;
    }
  }

  knownOnes(dataset) {
    const wanted = this.recipe(), { epochs } = this.run;
    const known = this.known.find(({ sha256, settings }) => sha256 === dataset.sha256
      && Object.entries({ ...DEFAULTS, ...wanted }).every(([name, value]) => same({ ...DEFAULTS, ...settings }[name], value)
        // The number of epochs counts only where the rates depend on it.
        || (name === 'epochs' && !wanted.learning_rate_schedule?.startsWith('cosine'))));
    return known?.fingerprints.slice(0, epochs) ?? [];
  }

  // What an epoch's fingerprint is beside the known one.
  verdict({ metrics, fingerprint }) {
    const known = this.run.fingerprints[metrics.epoch - 1];
    return known === undefined ? 'none' : known === fingerprint ? 'equal' : `differs: ${known.slice(0, 16)}`;
  }

  // `seconds` is nothing for an epoch of a checkpoint.
  addRow({ metrics, fingerprint, seconds }) {
    const verdict = this.verdict({ metrics, fingerprint });
    const cells = [metrics.epoch, metrics.train_loss.toFixed(4), `${(100 * metrics.train_accuracy).toFixed(2)} %`, metrics.test_loss.toFixed(4), `${(100 * metrics.test_accuracy).toFixed(2)} %`];
    const title = seconds ? `${seconds.training.toFixed(2)} s of training, ${seconds.evaluation.toFixed(2)} s of evaluation` : 'from the checkpoint';
    $('epochs-done').append(element('tr', { title },
      ...cells.map((cell) => element('td', { textContent: String(cell) })),
      element('td', { textContent: fingerprint.slice(0, 16), title: fingerprint }), element('td', { className: verdict === 'none' ? '' : verdict.split(':')[0], textContent: verdict })));
  }

  curves() {
    const { points, epochs } = this.run;
    for (const [id, title, index, unit] of [['loss', 'Loss', 1, ''], ['accuracy', 'Accuracy', 2, '%']]) {
      curve($(id), title, epochs, unit, { points: points.map((point) => [point[0], point[index]]), colour: '--above' });
    }
  }

  // The recipe as records have it.
  recipe() {
    const { settings: it, epochs } = this.run, rate = (value) => Math.fround(value);
    const recipe = { epochs, batch_size: it.batch, learning_rate: rate(it.rate), momentum: rate(it.momentum), weight_decay: rate(it.decay), seed: it.seed, shuffle: it.shuffle };
    if (it.schedule !== DEFAULTS.learning_rate_schedule) recipe.learning_rate_schedule = it.schedule;
    if (it.layers !== DEFAULTS.trained_layers) recipe.trained_layers = it.layers;
    return recipe;
  }

  // As the program writes it (docs/output.md): its `verify` takes it.
  record() {
    const { epochs, dataset, initial, backend, reports, seconds, total, from } = this.run, settings = this.recipe();
    const isGiven = Boolean(from.initialFile), isExtended = isGiven || Object.keys(DEFAULTS).some((name) => name in settings);
    return {
      versions: { record: isExtended ? 2 : 1, program: 'page' }, status: reports.length === epochs ? 'complete' : 'interrupted',
      settings, dataset, backend, host: { arch: 'wasm32', os: 'browser' },
      seconds: { ...seconds, total }, ...(isGiven && { initial_file: from.initialFile }), initial_fingerprint: initial, epochs: reports,
    };
  }
}

// The complete epochs of a checkpoint, as records have them, and what they took.
function reportsOf(lines) {
  const seconds = { training: 0, evaluation: 0 };
  const reports = lines.map((line, index) => {
    const [trainLoss, trainRight, trainCount, testLoss, testRight, testCount, fingerprint, training, evaluation] = line.split(' ');
    seconds.training += Number(training);
    seconds.evaluation += Number(evaluation);
    return { epoch: index + 1, train_loss: Number(trainLoss), train_accuracy: trainRight / trainCount, test_loss: Number(testLoss), test_accuracy: testRight / testCount, fingerprint };
  });
  return { reports, seconds, total: seconds.training + seconds.evaluation };
}

export function save(name, contents) {
  const link = element('a', { href: URL.createObjectURL(new Blob([contents])), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// The four files, unpacked, and which split each is of, by its name.
export async function readFiles(files) {
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
