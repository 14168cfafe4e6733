// A microcontroller over WebSerial. The module speaks the protocol (web/src/board.rs); here bytes are moved, no more.

import { element, exact } from './detail.js';
import { Refusal } from './network.js';

const $ = (id) => document.getElementById(id);
const [INFO, CLASSIFY, UPDATE, HEAD, TEACH, LEARN, KEEP, FORGET] = [0, 1, 2, 3, 4, 5, 6, 7];
const [DONE, FAILED, SEND] = [0, 1, 2];
// How long a port may take to be opened, and to take what is written to it, in milliseconds.
const OPENING = 10000, TAKING = 10000;

const BROKE = 'the line to the board broke: was it unplugged?';

// What comes first of a promise and of a time, after which `late` is said.
function within(milliseconds, promise, late) {
  let timer;
  const over = new Promise((_, reject) => { timer = setTimeout(() => reject(new Refusal(late)), milliseconds); });
  return Promise.race([promise, over]).finally(() => clearTimeout(timer));
}

// A port that is open.
class Line {
  static async open(port, baudRate) {
    try {
      await within(OPENING, port.open({ baudRate, bufferSize: 4096 }), 'the port does not open');
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw new Refusal('the port cannot be opened: another program may have it open, such as a serial monitor, or you may not use it (on Linux its group is dialout on most systems)');
    }
    return new Line(port);
  }

  constructor(port) {
    Object.assign(this, { port, reader: null, pending: null });
  }

  async write(bytes) {
    if (!this.port.writable) throw new Refusal(BROKE);
    const writer = this.port.writable.getWriter();
    try {
      await within(TAKING, writer.write(bytes), 'the board no longer takes what is sent to it: reset it, and try again');
    } catch (error) {
      throw error instanceof Refusal ? error : new Refusal(BROKE);
    } finally {
      writer.releaseLock();
    }
  }

  // The next bytes; none if there are none in that time. A read that nobody waits for any more is gone on with next time.
  async read(milliseconds) {
    if (!this.port.readable) throw new Refusal(BROKE);
    this.reader ??= this.port.readable.getReader();
    this.pending ??= this.reader.read().then((chunk) => ({ chunk }), (error) => ({ error }));
    let timer;
    const over = new Promise((resolve) => { timer = setTimeout(resolve, Math.max(0, milliseconds)); });
    const came = await Promise.race([this.pending, over]);
    clearTimeout(timer);
    if (!came) return new Uint8Array(0);
    this.pending = null;
    if (came.chunk && !came.chunk.done) return came.chunk.value;
    // After a fault of the line, such as an overrun, the port has a new stream; after the cable was pulled it has none.
    this.reader.releaseLock();
    this.reader = null;
    if (came.chunk || !this.port.readable) throw new Refusal(BROKE);
    return new Uint8Array(0);
  }

  async close() {
    await this.reader?.cancel().catch(() => {});
    this.reader?.releaseLock();
    await this.port.close().catch(() => {});
  }
}

export class Board {
  // `network` speaks for the page: its digit, its parameters and its lesson.
  constructor(network) {
    Object.assign(this, { network, line: null, busy: false, onChange: () => {} });
    if (!navigator.serial) {
      this.say('This browser has no WebSerial: Chrome, Chromium and Edge on a computer have it. host-trainer board does the same from a terminal.');
      return;
    }
    $('connect').disabled = false;
    $('connect').addEventListener('click', () => this.attempt(() => (this.line ? this.disconnect('Disconnected') : this.connect())));
    $('board-info').addEventListener('click', () => this.attempt(() => this.info()));
    $('board-classify').addEventListener('click', () => this.attempt(() => this.classify()));
    $('board-update').addEventListener('click', () => this.attempt(() => this.update()));
    navigator.serial.addEventListener?.('disconnect', (event) => {
      if (this.line && event.target === this.line.port && !this.busy) this.disconnect(BROKE);
    });
  }

  say(text) {
    $('board-status').textContent = text;
  }

  // One thing at a time; what goes wrong is said, returned too, and the page goes on.
  async attempt(work) {
    if (this.busy) return null;
    this.busy = true;
    this.buttons();
    let message = null;
    try {
      await work();
    } catch (error) {
      message = error instanceof Refusal ? error.message : `something went wrong: ${error.message}`;
      if (error.message === BROKE) await this.disconnect(message);
      else this.say(message);
    }
    this.busy = false;
    $('board-progress').hidden = true;
    this.buttons();
    return message;
  }

  buttons() {
    $('connect').textContent = this.line ? 'Disconnect' : 'Connect a board…';
    $('connect').disabled = this.busy;
    for (const id of ['board-info', 'board-classify', 'board-update']) $(id).disabled = this.busy || !this.line;
    this.onChange();
  }

  async connect() {
    let port;
    try {
      port = await navigator.serial.requestPort();
    } catch (error) {
      if (error.name !== 'NotFoundError') throw new Refusal('this page may not use serial ports here');
      this.say('No port was chosen');
      return;
    }
    this.line = await Line.open(port, this.network.exports.baud_rate());
    this.network.exports.board_opened(Date.now() % 2 ** 32);
    try {
      await this.info();
    } catch (error) {
      await this.disconnect(error.message);
    }
  }

  async disconnect(why) {
    const { line } = this;
    this.line = null;
    $('board-fields').replaceChildren();
    $('board-logits').hidden = true;
    this.say(why);
    this.buttons();
    await line?.close();
  }

  // Asks, and moves bytes until there is an answer. `what` is said, if it is anything.
  async ask(task, what, progress = (share) => { $('board-progress').value = share; }) {
    const { network, line } = this;
    if (what) this.say(what);
    network.ask('board_ask', task, performance.now());
    let code = SEND;
    for (;;) {
      if (code === SEND) {
        await line.write(network.output().slice());
        progress(network.exports.board_progress());
      }
      const bytes = await line.read(network.exports.board_deadline() - performance.now());
      network.give(bytes);
      code = network.exports.board_hear(performance.now());
      if (code === FAILED) throw new Refusal(network.text());
      if (code === DONE) return network.text().split('\n');
    }
  }

  async info() {
    const [model, ...fields] = await this.ask(INFO, 'Asking the board who it is…');
    this.model = model;
    const head = await this.head();
    this.fields(fields, head?.fields ?? []);
    const same = model === this.network.fingerprint() ? 'It runs this page’s model.' : 'It runs another model than this page.';
    this.say(`Connected. ${model ? same : 'It has no model to run: send it this page’s.'} What follows is the board’s own word.`);
  }

  fields(...lines) {
    $('board-fields').replaceChildren(...lines.flat().filter(Boolean).flatMap((field) => {
      const [name, words] = field.split('\t');
      return [element('dt', { textContent: name }), element('dd', { textContent: words })];
    }));
  }

  // Room for samples, and the learned head in use; nothing of firmware that does not learn.
  async head() {
    const [capacity, learned, ...fields] = await this.ask(HEAD);
    return capacity ? { capacity: Number(capacity), learned, fields } : null;
  }

  // What the page expects of the board: the logits of its model, or those of the head that was learned here.
  async expected() {
    const head = await this.head(), own = { logits: this.network.floats('logits', 10).slice(), head: '' };
    if (!head?.learned) return own;
    const learned = this.network.learned();
    return learned && this.network.ask('lesson_head') === head.learned ? { logits: learned.logits, head: ' with the learned head' } : { ...own, other: true };
  }

  async classify() {
    const fingerprint = this.network.fingerprint(), { logits, head, other } = await this.expected();
    const [digit, cycles, ...bits] = await this.ask(CLASSIFY, 'The board reads the digit…');
    const board = new Float32Array(Uint32Array.from(bits, Number).buffer), own = new Uint32Array(logits.slice().buffer);
    const equal = Array.from(own, (value, i) => value === Number(bits[i]));
    const all = equal.every(Boolean);
    $('board-rows').replaceChildren(...Array.from(board, (value, i) => element('tr', {},
      element('th', { scope: 'row', textContent: String(i) }), element('td', { textContent: exact(logits[i]) }), element('td', { textContent: exact(value) }),
      element('td', { className: equal[i] ? 'equal' : 'differs', textContent: equal[i] ? 'the same bits' : 'other bits' }))));
    $('board-logits').hidden = false;
    const verdict = all ? `Ten logits of ten are this page’s${head}, bit for bit.` : `${equal.filter(Boolean).length} logits of ten are this page’s.`;
    let reason = '';
    if (!all && this.model !== fingerprint) reason = ' It runs another model: send it this one, then they are the same.';
    else if (!all && other) reason = ' It uses a learned head that was not learned here: let it forget, or learn here too.';
    this.say(`The board reads ${digit} in ${Number(cycles).toLocaleString('en')} cycles by its own count. ${verdict}${reason}`);
  }

  // How many samples a board that runs the page's model has room for.
  async room() {
    const [model] = await this.ask(INFO, 'Asking the board who it is…');
    this.model = model;
    if (!model) throw new Refusal('the board has no model to run: send it this page’s');
    if (model !== this.network.fingerprint()) throw new Refusal('the board runs another model than this page: send it this one, then both learn the same');
    const head = await this.head();
    if (!head) throw new Refusal('the board’s firmware does not learn: use the firmware of the same release');
    return head.capacity;
  }

  // Has the board keep the lesson's samples.
  teach(progress) {
    return this.ask(TEACH, 'Teaching the board…', progress);
  }

  // Has the board learn the epoch that the lesson learned last; another head than here is a refusal.
  async learn() {
    const [cycles] = await this.ask(LEARN);
    return Number(cycles);
  }

  async keep() {
    const [kept] = await this.ask(KEEP, 'The board writes the learned head to flash…');
    await this.info();
    this.say(`The board keeps the learned head ${kept.slice(0, 16)}, as it reports.`);
  }

  async forget() {
    await this.ask(FORGET, 'The board forgets…');
    await this.info();
    this.say('The board has forgotten what it was taught and had learned, as it reports.');
  }

  async update() {
    $('board-progress').value = 0;
    $('board-progress').hidden = false;
    const [fingerprint] = await this.ask(UPDATE, 'Sending the model; the board has none until it is through. Leave it plugged in…');
    await this.info();
    this.say(`The board runs ${fingerprint.slice(0, 16)}, the model that was sent, as it reports.`);
  }
}
