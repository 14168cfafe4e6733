// The controls of a run in the worker, its curves and its fingerprints.

import { curve } from './curves.js';
import { element } from './detail.js';
import { Refusal } from './network.js';

const $ = (id) => document.getElementById(id);
const PRESETS = { demo: { rate: 0.03, epochs: 3 }, tutorial: { rate: 0.0001, epochs: 100 } };
// What the worker's module takes (MAX_INPUT in web/src/exports.rs), packed or not.
const MAX_BYTES = 240 << 20;
const LAYERS = ['conv1', 'conv2', 'fc1', 'fc2'];
const NUMBERS = ['batch', 'rate', 'momentum', 'decay', 'seed'];

// What records leave out.
const DEFAULTS = { learning_rate_schedule: 'constant', trained_layers: LAYERS.join(',') };
const same = (a, b) => (typeof a === 'number' && typeof b === 'number' ? Object.is(Math.fround(a), Math.fround(b)) && (!Number.isInteger(a) || a === b) : a === b);

export class Training {
  // `known`: runs whose fingerprints are known. `show` hears of new parameters, `know` of the model file of those of an
  // epoch's end, `say` of what goes wrong.
  constructor(module, known, show, know, say) {
    Object.assign(this, { module, known, show, know, say, files: null, worker: null, run: null });
    $('preset').addEventListener('change', () => this.preset());
    $('data').addEventListener('change', () => { $('files-label').hidden = $('data').value !== 'files'; });
    $('files').addEventListener('change', () => this.take($('files').files));
    $('settings').addEventListener('submit', (event) => { event.preventDefault(); this.start(); });
    $('pause').addEventListener('click', () => this.pause());
    $('stop').addEventListener('click', () => this.worker?.postMessage({ kind: 'stop' }));
    $('save-model').addEventListener('click', () => save('weights.postcard', this.run.model));
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
      if (![1, 2].includes(record.versions.record)) throw new Refusal('is of another version of the program');
      if (record.initial_file !== undefined) throw new Refusal('is of a run from given parameters, which this page has none of');
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
    settings.schedule = $('schedule').value.trim();
    settings.layers = LAYERS.filter((layer) => $(`train-${layer}`).checked).join(',');
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
      case 'began':
        Object.assign(run.settings, { schedule: data.schedule, layers: data.layers });
        Object.assign(run, { dataset: data.dataset, initial: data.initial, fingerprints: this.knownOnes(data.dataset) });
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
        run.total = (performance.now() - run.began) / 1000;
        this.addRow(data);
        break;
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
    const { epochs, dataset, initial, reports, seconds, total } = this.run, settings = this.recipe();
    const isExtended = Object.keys(DEFAULTS).some((name) => name in settings);
    return {
      versions: { record: isExtended ? 2 : 1, program: 'page' }, status: reports.length === epochs ? 'complete' : 'interrupted',
      settings, dataset, backend: 'cpu (simd128, 1 thread)', host: { arch: 'wasm32', os: 'browser' },
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
