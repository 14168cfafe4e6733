// A run of the program as it goes: what `host-trainer train --live` tells after every epoch.

import { curve } from './curves.js';
import { element } from './detail.js';
import { grey, onPaletteChange, patches } from './paint.js';

const $ = (id) => document.getElementById(id);
const cell = (textContent) => element('td', { textContent });
// Epochs in the table, the newest first.
const ROWS = 8;

export function live() {
  const section = $('live');
  section.hidden = false;
  let about = { epochs: 1 }, epochs = [], kernels = null;

  const draw = () => {
    const series = (name) => epochs.map((it) => [it.epoch, it[name]]);
    for (const [id, title, unit] of [['loss', 'Loss', ''], ['accuracy', 'Accuracy', '%']]) {
      curve($(`live-${id}`), title, about.epochs, unit,
        { points: series(`train_${id}`), colour: '--below', dash: [4, 3] }, { points: series(`test_${id}`), colour: '--above' });
    }
    $('live-rows').replaceChildren(...epochs.slice(-ROWS).reverse().map((it) => element('tr', {},
      cell(String(it.epoch)), cell(it.train_loss.toFixed(4)), cell(`${(100 * it.train_accuracy).toFixed(2)} %`), cell(it.test_loss.toFixed(4)),
      cell(`${(100 * it.test_accuracy).toFixed(2)} %`), element('td', { textContent: it.fingerprint.slice(0, 16), title: it.fingerprint }))));
    if (kernels) patches($('live-kernels'), kernels, 16, 10);
  };
  const state = (text) => { $('live-state').textContent = text; };
  const progress = () => {
    const done = epochs.at(-1)?.epoch ?? 0;
    state(done < about.epochs ? `Epoch ${done + 1} of ${about.epochs} is in work` : `${done} of ${about.epochs} epochs are complete`);
  };

  const source = new EventSource('events');
  const hear = (name, work) => source.addEventListener(name, ({ data }) => work(JSON.parse(data)));
  hear('run', (run) => {
    // After a connection that was lost all is told anew.
    [about, epochs] = [run, []];
    $('live-about').textContent = `${run.dataset} · ${run.backend} · ${run.recipe}`;
    progress();
  });
  hear('epochs', (more) => {
    epochs.push(...more);
    progress();
    draw();
  });
  hear('now', (now) => {
    kernels = now.kernels;
    draw();
    if (now.count === 0) return;
    $('live-misread-title').textContent = `${now.wrong} of ${now.count} test digits are read wrong${now.misread.length < now.wrong ? '; the first of them' : ''}`;
    $('live-misread').replaceChildren(...now.misread.map(({ index, label, read, pixels }) => {
      const picture = element('canvas', { width: 28, height: 28 });
      picture.getContext('2d').putImageData(grey(pixels.match(/../g).map((hex) => parseInt(hex, 16)), 28, 28), 0, 0);
      return element('li', { title: `test image ${index}` }, picture, `${label}, read as ${read}`);
    }));
  });
  hear('end', (how) => {
    source.close();
    state(`Ended: ${how}`);
    section.dataset.ended = 'yes';
  });
  source.onerror = () => state(source.readyState === EventSource.CLOSED ? 'Too many browsers look on, or the program serves no run' : 'The program does not answer; it is tried again');
  onPaletteChange(draw);
}
