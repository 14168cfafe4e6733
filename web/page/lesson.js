// A person's own digits: what is taught, how the head learns it here and on a board, and what it makes of a digit then.

import { curve } from './curves.js';
import { element } from './detail.js';
import { Refusal } from './network.js';
import { grey, onPaletteChange } from './paint.js';
import { readFiles, save } from './train.js';

const $ = (id) => document.getElementById(id);
const SETTINGS = ['epochs', 'batch', 'rate', 'momentum', 'decay'];
// How long a piece of work may take before the page is let live, in milliseconds.
const PIECE = 30;
const SOURCES = { 'built-in': 'built-in digits', files: 'of the files' };

export class Lesson {
  // `training` has the files of MNIST, if any were given; `changed` hears of a learned head, and of one that is gone.
  constructor(network, board, training, changed) {
    Object.assign(this, { network, board, training, changed, taught: [], files: null, points: [], epochs: 1, busy: false, stopped: false });
    for (let digit = 0; digit < 10; digit++) {
      const button = element('button', { type: 'button', textContent: String(digit), ariaLabel: `Teach: this is a ${digit}` });
      button.addEventListener('click', () => this.teach(digit));
      $('labels').append(button);
      const cells = ['before', 'after'].map(() => element('td', {}, element('span', { className: 'bar' }), element('span')));
      $('lesson-rows').append(element('tr', {}, element('th', { scope: 'row', textContent: String(digit) }), ...cells));
    }
    $('lesson').addEventListener('submit', (event) => { event.preventDefault(); this.learn(false); });
    $('learn-board').addEventListener('click', () => $('lesson').reportValidity() && this.learn(true));
    $('learn-stop').addEventListener('click', () => { this.stopped = true; });
    $('learn-forget').addEventListener('click', () => this.forget());
    $('learn-save').addEventListener('click', () => this.save());
    $('learn-keep').addEventListener('click', () => this.onBoard(() => board.keep(), 'The board keeps what it learned'));
    $('learn-forget-board').addEventListener('click', () => this.onBoard(() => board.forget(), 'The board has forgotten'));
    board.onChange = () => this.buttons();
    onPaletteChange(() => this.draw());
    this.list();
    this.draw();
  }

  say(text) {
    $('lesson-status').textContent = text;
  }

  // The drawn digit is one of these from now on.
  teach(label) {
    if (this.busy) return;
    const pixels = this.network.pixels.slice();
    if (!pixels.some(Boolean)) {
      this.say('There is nothing to teach: draw a digit first');
      return;
    }
    this.taught.push({ label, pixels });
    this.list();
    this.say(`${this.taught.length} taught: a ${label} is new. Draw the next one, or learn`);
  }

  remove(index) {
    const [{ label }] = this.taught.splice(index, 1);
    this.list();
    const { children } = $('taught');
    (children[Math.min(index, children.length - 1)]?.firstChild ?? $('labels').firstElementChild).focus();
    this.say(`A ${label} is taken back; ${this.taught.length} are taught`);
  }

  list() {
    $('taught').replaceChildren(...this.taught.map(({ label, pixels }, index) => {
      const small = element('canvas', { width: 28, height: 28 });
      small.getContext('2d').putImageData(grey(pixels, 28, 28), 0, 0);
      const button = element('button', { type: 'button', title: 'Take it back', ariaLabel: `Number ${index + 1}, a ${label}: take it back` }, small, element('span', { textContent: `${label} ×` }));
      button.addEventListener('click', () => this.remove(index));
      return element('li', {}, button);
    }));
    this.buttons();
  }

  buttons() {
    const { busy, board } = this, none = this.taught.length === 0, learned = this.network.exports.lesson_head() === 0, away = busy || board.busy || !board.line;
    $('lesson-fields').disabled = busy;
    for (const button of [...$('labels').children, ...$('taught').querySelectorAll('button')]) button.disabled = busy;
    $('learn').disabled = busy || none;
    $('learn-board').disabled = away || none;
    $('learn-stop').disabled = !busy;
    $('learn-forget').disabled = busy || (none && !learned);
    $('learn-save').disabled = busy || !learned;
    for (const id of ['learn-keep', 'learn-forget-board']) $(id).disabled = away;
  }

  async learn(onBoard) {
    if (this.busy) return;
    [this.busy, this.stopped] = [true, false];
    $('lesson-progress').hidden = false;
    this.buttons();
    let message;
    if (onBoard) message = await this.board.attempt(() => this.run(true));
    else {
      try {
        await this.run(false);
      } catch (error) {
        message = error instanceof Refusal ? error.message : `something went wrong: ${error.message}`;
      }
    }
    if (message) this.say(message);
    this.busy = false;
    $('lesson-progress').hidden = true;
    this.buttons();
    this.changed();
  }

  async run(onBoard) {
    // A zero has no sign.
    const { network, taught } = this, settings = Object.fromEntries(SETTINGS.map((name) => [name, $(`lesson-${name}`).valueAsNumber + 0]));
    const room = Math.min(network.exports.lesson_room(), onBoard ? await this.board.room() : Infinity);
    const wanted = $('lesson-ordinary').value, count = wanted === '' ? Math.min(2 * taught.length, Math.max(0, room - taught.length)) : Number(wanted);
    [this.points, this.epochs] = [[], settings.epochs];
    $('lesson-epochs-done').replaceChildren();
    if (count > 0 && !await this.rank()) return this.broken();
    network.give(Uint8Array.from(taught.flatMap(({ label, pixels }) => [label, ...pixels])));
    network.ask('lesson_begin', settings.epochs, settings.batch, settings.rate, settings.momentum, settings.decay);
    network.ask('lesson_mix_in', count);
    if (onBoard) {
      this.say('The board is taught the same digits…');
      await this.board.teach((share) => { $('lesson-progress').value = share; });
    }
    this.say(onBoard ? 'Learning, here and on the board…' : 'Learning…');
    for (let epoch = 1; epoch <= settings.epochs; epoch++) {
      const [loss, head] = network.ask('lesson_epoch', epoch).split('\n');
      const cycles = onBoard ? await this.board.learn() : null;
      this.row(epoch, Number(loss), head, cycles);
      if (!await this.breathe() && epoch < settings.epochs) return this.broken();
    }
    const same = onBoard ? ' The board’s head was the same after every epoch, bit for bit.' : '';
    this.say(`Learned: ${taught.length} of yours and ${count} ordinary ones, ${settings.epochs} epochs. The head is ${network.ask('lesson_head').slice(0, 16)}.${same}`);
    if (onBoard) this.board.say('The board uses the head that it learned.');
  }

  broken() {
    this.say('Stopped; the head is the one from before');
  }

  // Looks at the digits that may be mixed in; whether all were looked at.
  async rank() {
    const { exports } = this.network, source = $('lesson-source').value, files = source === 'files' ? this.training.files : null;
    if (source === 'files' && !files) throw new Refusal('choose the four files of MNIST under “Train it here” first');
    if (this.files !== files) {
      try {
        for (const { test, bytes, name } of files ? await readFiles(files) : []) {
          if (test) continue;
          this.network.give(bytes);
          try {
            this.network.ask('take', 0);
          } catch (error) {
            throw new Refusal(`${name}: ${error.message}`);
          }
        }
        this.network.ask('lesson_take_from', Number(Boolean(files)));
        this.files = files;
      } finally {
        exports.forget();
      }
    }
    this.say(`Choosing ordinary digits, ${SOURCES[source]}…`);
    for (let share = exports.lesson_rank(0), count = 10; share < 1;) {
      const start = performance.now();
      share = exports.lesson_rank(count);
      count = Math.max(1, Math.min(2 * count, Math.floor(count * PIECE / Math.max(performance.now() - start, 1))));
      $('lesson-progress').value = share;
      if (!await this.breathe()) return false;
    }
    return true;
  }

  // Lets the page live; whether to go on.
  async breathe() {
    await new Promise((resolve) => { setTimeout(resolve); });
    return !this.stopped;
  }

  // `cycles` is nothing without a board.
  row(epoch, loss, head, cycles) {
    const there = cycles === null ? element('td', { textContent: '–' }) : element('td', { className: 'equal', textContent: 'equal', title: `${cycles.toLocaleString('en')} cycles by its own count` });
    $('lesson-epochs-done').append(element('tr', {},
      element('td', { textContent: String(epoch) }), element('td', { textContent: loss.toFixed(5) }), element('td', { textContent: head.slice(0, 16), title: head }), there));
    this.points.push([epoch, loss]);
    $('lesson-progress').value = epoch / this.epochs;
    this.draw();
  }

  draw() {
    curve($('lesson-loss'), 'Loss', this.epochs, '', { points: this.points, colour: '--above' });
  }

  // What is drawn, before and after; `before` is what the network itself reads.
  show(before) {
    const learned = this.network.learned();
    $('lesson-compare').hidden = $('after').hidden = !learned;
    // A head goes with the network that it was learned over.
    if (!learned && !this.busy && !$('learn-save').disabled) this.buttons();
    if (!learned) return;
    const columns = [this.network.floats('probabilities', 10), learned.probabilities];
    const after = learned.logits.indexOf(Math.max(...learned.logits));
    [...$('lesson-rows').children].forEach((row, digit) => columns.forEach((probabilities, column) => {
      const cell = row.children[1 + column];
      cell.classList.toggle('best', digit === [before, after][column]);
      cell.firstChild.style.width = `${60 * probabilities[digit]}px`;
      cell.lastChild.textContent = `${(100 * probabilities[digit]).toFixed(2)} %`;
    }));
    $('lesson-caption').textContent = `The drawn digit: ${before} before, ${after} after`;
    // Read out only if it is another one.
    const answer = `With your lesson: ${after}`;
    if ($('after').textContent !== answer) $('after').textContent = answer;
  }

  forget() {
    this.network.exports.lesson_forget();
    [this.taught, this.points] = [[], []];
    $('lesson-epochs-done').replaceChildren();
    this.list();
    this.draw();
    this.say('Forgotten: what was taught, and what was learned from it');
    this.changed();
  }

  save() {
    this.network.ask('lesson_model');
    save('my-hand.cnnm', this.network.output().slice());
  }

  // What a board does by itself.
  async onBoard(work, done) {
    this.say(await this.board.attempt(work) ?? done);
  }
}
