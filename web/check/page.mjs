// The page in Chromium, as a person uses it: node page.mjs HOST_TRAINER [FOLDER_FOR_SCREENSHOTS]

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Browser } from './browser.mjs';
import { serve } from './server.mjs';

const [program, shots] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'page-files-'));
const server = await serve(program);
const { url } = server;
const repository = new URL('../../', import.meta.url);
const known = JSON.parse(readFileSync(new URL('web/page/known.json', repository)));

const file = (name, contents) => {
  const path = join(folder, name);
  writeFileSync(path, contents);
  return path;
};

let browser;
const shot = async (name) => shots && writeFileSync(join(shots, `${name}.png`), await browser.screenshot());
const status = (part) => browser.until(`document.getElementById("status").textContent.includes(${JSON.stringify(part)})`);
const reads = (digit) => browser.until(`document.getElementById("prediction").textContent === "It reads ${digit}"`);
const focus = (layer) => browser.run('document.querySelector(`#layer-${arguments[0]} canvas[tabindex]`).focus()', layer);
const loaded = () => browser.until('document.body.dataset.ready');
const SEVEN = [[0.28, 0.25], [0.72, 0.25], [0.5, 0.8]];
const ONE = [[0.5, 0.15], [0.5, 0.5], [0.5, 0.85]];
const THREE = [[0.3, 0.3], [0.5, 0.2], [0.7, 0.3], [0.5, 0.5], [0.7, 0.7], [0.5, 0.85], [0.3, 0.75]];
const [DOWN, RIGHT, PAGE_DOWN, END] = ['\uE015', '\uE014', '\uE00F', '\uE010'];

const tests = {
  async 'it loads, and says which model it has'() {
    await loaded();
    const [answered, arrived] = await browser.run(`return [Number(document.body.dataset.answered),
      Math.max(...performance.getEntriesByType('resource').filter(({ name }) => !name.endsWith('known.json')).map((file) => file.responseEnd))]`);
    console.log(`first answer ${answered} ms after the page was asked for, ${Math.round(answered - arrived)} after its files had come`);
    await reads(7);
    await status('trained on MNIST');
    await shot('desktop');
  },

  async 'a digit is drawn by mouse, finger and pen, taken back and cleared'() {
    for (const [pointer, digit, ...points] of [['mouse', 3, ...THREE], ['touch', 1, ...ONE], ['pen', 7, ...SEVEN]]) {
      await browser.click('clear');
      await browser.draw(pointer, points);
      await reads(digit);
    }
    console.log(`a frame while drawing ${await browser.run('return document.body.dataset.frame')} ms`);
    await browser.draw('mouse', [[0.1, 0.9], [0.9, 0.9]]);
    await browser.click('undo');
    await reads(7);
    await browser.click('clear');
    assert.equal(await browser.run('return document.getElementById("remarks").textContent'), '');
  },

  async 'a picture is prepared, and what is no picture is refused'() {
    const picture = await browser.run(`const canvas = document.createElement('canvas'); canvas.width = 900; canvas.height = 600;
      const context = canvas.getContext('2d'); context.fillStyle = '#dfe6c8'; context.fillRect(0, 0, 900, 600);
      context.strokeStyle = '#223a80'; context.lineWidth = 26; context.lineCap = context.lineJoin = 'round';
      context.beginPath(); for (const [x, y] of arguments[0]) context.lineTo(500 + 200 * x, 100 + 400 * y); context.stroke();
      return canvas.toDataURL('image/png').split(',')[1];`, THREE);
    await browser.upload('picture', file('three.png', Buffer.from(picture, 'base64')));
    await status('three.png: prepared');
    await reads(3);
    await browser.upload('picture', file('<b>text.png', 'no picture'));
    await status('<b>text.png: this is no picture');
    // Dropped: the same way.
    await browser.run(`const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0)), data = new DataTransfer();
      data.items.add(new File([bytes], 'dropped.png')); document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));`, picture);
    await status('dropped.png: prepared');
  },

  async 'a picture is pasted, and taken by the camera'() {
    const digit = await browser.run(`const canvas = document.createElement('canvas'); canvas.width = canvas.height = 300;
      const context = canvas.getContext('2d'); context.fillStyle = '#fff'; context.fillRect(0, 0, 300, 300); context.lineWidth = 22; context.lineCap = context.lineJoin = 'round';
      context.beginPath(); for (const [x, y] of arguments[0]) context.lineTo(300 * x, 300 * y); context.stroke();
      return canvas.toDataURL('image/png').split(',')[1];`, SEVEN);
    await browser.run(`const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0)), data = new DataTransfer();
      data.items.add(new File([bytes], 'pasted.png', { type: 'image/png' })); document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }));`, digit);
    await status('pasted.png: prepared');
    await reads(7);
    await browser.click('clear');
    assert.equal(await browser.run('return document.getElementById("camera").getAttribute("capture")'), 'environment');
    // A person sees it on a phone alone.
    await browser.run('document.querySelector(".camera").style.display = "inline-block"');
    await browser.upload('camera', file('photo.png', Buffer.from(digit, 'base64')));
    await status('photo.png: prepared');
    await reads(7);
    await browser.run('document.querySelector(".camera").style.display = ""');
  },

  async 'every sample is shown'() {
    const count = await browser.run('return document.querySelectorAll("#samples button").length');
    assert.equal(count, 10);
    for (let i = 0; i < count; i++) await browser.run('document.querySelectorAll("#samples button")[arguments[0]].click()', i);
  },

  async 'every value that is chosen is computed again with the same bits'() {
    for (const layer of ['image', 'conv1', 'pool1', 'conv2', 'pool2', 'hidden', 'logits']) {
      await focus(layer);
      for (const key of [RIGHT, DOWN, PAGE_DOWN, END]) {
        await browser.keys(key);
        assert.equal(await browser.run('return document.body.dataset.equal'), 'true', layer);
        assert.equal(await browser.run('return document.activeElement.closest("figure").id'), `layer-${layer}`);
      }
    }
    // All of them, not only those that a person would choose.
    const wrong = await browser.call('POST', '/execute/async', { args: [], script: `const done = arguments[0];
      (async () => {
        const [{ explain }, { LAYERS, Network }] = await Promise.all([import('/explain.js'), import('/network.js')]);
        const network = await Network.open(await WebAssembly.compileStreaming(fetch('/cnn.wasm')));
        network.loadModel(new Uint8Array(await (await fetch('/mnist.cnnm')).arrayBuffer()));
        network.look();
        let wrong = 0, values = 0;
        for (const [name, { channels, width, height }] of Object.entries(LAYERS))
          for (let c = 0; c < channels; c++) for (let row = 0; row < height; row++) for (let column = 0; column < width; column++, values++)
            wrong += !explain(network, name, c, row, column).equal;
        done([wrong, values]);
      })();` });
    assert.deepEqual(wrong, [0, 784 + 16 * 676 + 16 * 169 + 32 * 121 + 32 * 25 + 120 + 10]);
    await focus('conv1');
    await browser.keys(DOWN);
    await browser.click('forward');
    await browser.click('back');
    await browser.click('play');
    const before = await browser.text('detail-title');
    await browser.until(`document.getElementById("detail-title").textContent !== ${JSON.stringify(before)}`);
    await browser.click('play');
    await browser.run('document.querySelectorAll("#walk button").forEach((button) => button.click())');
    assert.match(await browser.text('step-text'), /^8 of 8/);
    await shot('explained');
  },

  async 'a damaged model is refused, and the one before stays'() {
    const model = readFileSync(new URL('firmware/model/mnist.cnnm', repository));
    const damaged = Buffer.from(model);
    damaged[300000] ^= 1;
    for (const [name, contents] of [['damaged.cnnm', damaged], ['cut.cnnm', model.subarray(0, 1000)], ['long.cnnm', Buffer.alloc(2 << 20)], ['empty.cnnm', '']]) {
      await browser.upload('model', file(name, contents));
      await status(`${name} is not taken`);
    }
    await browser.upload('model', file('whole.cnnm', model));
    await status('whole.cnnm: trained on MNIST');
  },

  async 'it learns a person’s digits beside the network, which stays'() {
    const press = (digit) => browser.run('document.getElementById("labels").children[arguments[0]].click()', digit);
    const set = (values) => browser.run('for (const [id, value] of Object.entries(arguments[0])) document.getElementById(id).value = value', values);
    const said = (part) => browser.until(`document.getElementById("lesson-status").textContent.includes(${JSON.stringify(part)})`);
    const heads = () => browser.run('return [...document.querySelectorAll("#lesson-epochs-done td:nth-child(3)")].map((cell) => cell.title)');
    const disabled = (id) => browser.run('return document.getElementById(arguments[0]).disabled', id);
    await browser.click('clear');
    await press(3);
    await said('There is nothing to teach');
    assert.ok(await disabled('learn') && await disabled('learn-save') && await disabled('learn-forget'));
    // Sevens that are called ones, each drawn a little further to the right; one too many, taken back with the keyboard.
    for (let i = 0; i < 4; i++) {
      await browser.click('clear');
      await browser.draw('mouse', SEVEN.map(([x, y]) => [x + 0.02 * i, y + 0.03 * i]));
      await reads(7);
      await press(1);
    }
    await press(8);
    await said('5 taught');
    await browser.run('document.querySelectorAll("#taught button")[4].focus()');
    await browser.keys('\uE007');
    await said('A 8 is taken back; 4 are taught');
    assert.match(await browser.run('return document.activeElement.getAttribute("aria-label")'), /^Number 4, a 1/);
    // What cannot be learned is said, and nothing is in use.
    await set({ 'lesson-ordinary': 0, 'lesson-rate': 1e30, 'lesson-epochs': 9 });
    await browser.click('learn');
    await said('the learning diverged in epoch');
    await set({ 'lesson-rate': '', 'lesson-epochs': 0 });
    await browser.click('learn');
    await browser.run('document.getElementById("learn-board").disabled = false; document.getElementById("learn-board").click()');
    await said('the learning diverged in epoch');
    await set({ 'lesson-source': 'files', 'lesson-ordinary': 3, 'lesson-rate': 0.01, 'lesson-epochs': 40 });
    await browser.click('learn');
    await said('choose the four files of MNIST');
    await set({ 'lesson-source': 'built-in', 'lesson-ordinary': 2000 });
    assert.equal(await browser.run('return document.getElementById("lesson").checkValidity()'), false);
    assert.ok(await browser.run('return document.getElementById("lesson-compare").hidden'));
    // Learned: what is drawn reads 7 before and 1 after. The same lesson again gives the same heads.
    await set({ 'lesson-ordinary': 0 });
    await browser.click('learn');
    await said('Learned: 4 of yours and 0 ordinary ones, 40 epochs');
    const first = await heads();
    assert.equal(first.length, 40);
    assert.equal(new Set(first).size, 40);
    const losses = await browser.run('return [...document.querySelectorAll("#lesson-epochs-done td:nth-child(2)")].map((cell) => Number(cell.textContent))');
    assert.ok(losses.at(-1) < losses[0] / 2, `${losses}`);
    assert.equal(await browser.text('lesson-caption'), 'The drawn digit: 7 before, 1 after');
    assert.equal(await browser.text('after'), 'With your lesson: 1');
    await reads(7);
    const sums = await browser.run('return [2, 3].map((column) => [...document.querySelectorAll(`#lesson-rows td:nth-child(${column})`)].reduce((sum, cell) => sum + parseFloat(cell.textContent), 0))');
    for (const sum of sums) assert.ok(Math.abs(sum - 100) < 0.1, `${sums}`);
    await browser.run('document.getElementById("teach").scrollIntoView()');
    await shot('lesson');
    await browser.run('scrollTo(0, 0)');
    await shot('lesson-drawn');
    await browser.click('learn');
    await browser.until('document.querySelectorAll("#lesson-epochs-done tr").length === 40 && !document.getElementById("learn").disabled');
    assert.deepEqual(await heads(), first);
    // One that is stopped leaves the head as it was.
    await set({ 'lesson-epochs': 1000 });
    await browser.click('learn');
    await browser.until('document.querySelectorAll("#lesson-epochs-done tr").length > 3');
    assert.ok(await disabled('learn-save') && await disabled('lesson-fields'));
    await browser.click('learn-stop');
    await said('Stopped; the head is the one from before');
    assert.equal(await browser.text('after'), 'With your lesson: 1');
    // With the ordinary digits that belong to it, twice as many.
    await set({ 'lesson-epochs': 2, 'lesson-ordinary': '' });
    const start = performance.now();
    await browser.click('learn');
    await said('Learned: 4 of yours and 8 ordinary ones, 2 epochs');
    console.log(`ordinary digits were chosen of 20,000 in ${((performance.now() - start) / 1000).toFixed(1)} s`);
    // The model that is saved is the network with the learned head: the program takes it, and the page, whose lesson ends.
    await browser.click('learn-save');
    const saved = join(browser.folder, 'my-hand.cnnm');
    for (let tries = 0; !existsSync(saved) && tries < 200; tries++) await new Promise((resolve) => { setTimeout(resolve, 50); });
    const summary = spawnSync(program, ['summary', saved], { encoding: 'utf8' });
    assert.equal(summary.status, 0, `${summary.stdout}${summary.stderr}`);
    await browser.upload('model', saved);
    await status('my-hand.cnnm: imported parameters');
    assert.ok(await browser.run('return document.getElementById("after").hidden') && await disabled('learn-save'));
    await browser.click('reset');
    await status('The model: trained on MNIST');
    await browser.click('learn');
    await said('Learned: 4 of yours and 8 ordinary ones, 2 epochs');
    await browser.click('learn-forget');
    await said('Forgotten');
    assert.ok(await browser.run('return document.getElementById("lesson-compare").hidden') && await disabled('learn') && await disabled('learn-forget'));
    assert.equal(await browser.run('return document.getElementById("taught").children.length'), 0);
    await set({ 'lesson-epochs': 50, 'lesson-rate': 0.0003 });
    await browser.click('clear');
  },

  async 'files that are no data set are refused'() {
    await browser.run('document.getElementById("data").value = "files"; document.getElementById("data").dispatchEvent(new Event("change"))');
    const names = ['train-images', 'train-labels', 't10k-images', 't10k-labels'];
    await browser.upload('files', ...names.map((name) => file(name, Buffer.from([0, 0, 8, 3, 255, 255, 255, 255, 0, 0, 0, 28, 0, 0, 0, 28]))));
    await browser.click('start');
    await status('train-images: the file promises');
    await browser.upload('files', ...names.map((name) => file(`${name}.gz`, Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3]))));
    await browser.click('start');
    await status('is a damaged .gz archive');
    await browser.run('document.getElementById("data").value = "synthetic"; document.getElementById("data").dispatchEvent(new Event("change"))');
  },

  async 'the program repeats the record of a run on files, with a schedule and layers that are kept'() {
    const data = join(folder, 'data');
    mkdirSync(data);
    const word = (value) => [value >>> 24, value >>> 16 & 255, value >>> 8 & 255, value & 255];
    const pixel = (image, i) => (Math.floor(i % 28 / 3) === image % 10 ? 250 - image * 7 % 50 : i % 3);
    const paths = [['train', 230], ['t10k', 60]].flatMap(([split, count]) => [
      ['images-idx3', [0, 0, 8, 3, ...word(count), ...word(28), ...word(28), ...Array.from({ length: 784 * count }, (_, i) => pixel(Math.floor(i / 784), i % 784))]],
      ['labels-idx1', [0, 0, 8, 1, ...word(count), ...Array.from({ length: count }, (_, i) => i % 10)]],
    ].map(([kind, bytes]) => {
      const path = join(data, `${split}-${kind}-ubyte`);
      writeFileSync(path, Uint8Array.from(bytes));
      return path;
    }));
    await browser.run(`const set = (id, value) => { document.getElementById(id).value = value; document.getElementById(id).dispatchEvent(new Event('change')); };
      set('data', 'files'); set('epochs', 3); set('batch', 20); set('rate', 0.05); set('schedule', 'linear'); document.getElementById('train-conv1').checked = false;`);
    await browser.upload('files', ...paths);
    await browser.click('start');
    await status('the schedule of the learning rate: expected constant');
    await browser.run('document.getElementById("schedule").value = "cosine:0.001"');
    await browser.click('start');
    await browser.until('document.getElementById("progress-text").textContent.includes("3 of 3 epochs")');
    const record = join(browser.folder, 'run.json');
    await browser.click('save-record');
    for (let tries = 0; !existsSync(record) && tries < 200; tries++) await new Promise((resolve) => { setTimeout(resolve, 50); });
    const verified = spawnSync(program, ['verify', record, '--data', data], { encoding: 'utf8' });
    assert.equal(verified.status, 0, `${verified.stdout}${verified.stderr}`);
    assert.equal(JSON.parse(readFileSync(record)).settings.learning_rate_schedule, 'cosine:0.001');
    // Ordinary digits of a lesson come from the same files.
    await browser.run(`document.querySelector('#samples button').click(); document.getElementById('labels').children[4].click();
      for (const [id, value] of Object.entries({ 'lesson-source': 'files', 'lesson-ordinary': 9, 'lesson-epochs': 3 })) document.getElementById(id).value = value;`);
    await browser.click('learn');
    await browser.until('document.getElementById("lesson-status").textContent.includes("Learned: 1 of yours and 9 ordinary ones, 3 epochs")');
    await browser.click('learn-forget');
    await browser.run('document.getElementById("lesson").reset(); document.getElementById("clear").click()');
    // And the page takes it for comparison.
    await browser.upload('record', record);
    await status('the fingerprints of 3 epochs are compared');
    await browser.click('start');
    await browser.until('document.querySelectorAll("#epochs-done .equal").length === 3');
    await browser.run(`const set = (id, value) => { document.getElementById(id).value = value; document.getElementById(id).dispatchEvent(new Event('change')); };
      set('data', 'synthetic'); set('preset', 'demo'); set('batch', 100); set('schedule', 'constant'); document.getElementById('train-conv1').checked = true;`);
  },

  async 'a run begun by the program goes on in the page, and back again'() {
    const data = join(folder, 'data'), out = join(folder, 'out'), straight = join(folder, 'straight');
    const checkpoint = (epoch) => join('checkpoints', `epoch-00000${epoch}.checkpoint`);
    const train = (out, epochs, ...more) => {
      const { status, stdout, stderr } = spawnSync(program, ['train', '--data', data, '--epochs', epochs, '--batch-size', 20, '--lr', 0.05, '--train-layers', 'fc1,fc2', '--out', out, ...more].map(String), { encoding: 'utf8' });
      assert.equal(status, 0, `${stdout}${stderr}`);
      return JSON.parse(readFileSync(join(out, 'run.json')));
    };
    train(out, 2);
    const expected = train(straight, 4).epochs.map((epoch) => epoch.fingerprint);
    await browser.run(`const set = (id, value) => { document.getElementById(id).value = value; document.getElementById(id).dispatchEvent(new Event('change')); };
      set('data', 'files')`);
    await browser.upload('files', ...['train-images-idx3-ubyte', 'train-labels-idx1-ubyte', 't10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte'].map((name) => join(data, name)));
    // A damaged one, and one that is changed in the form, leave no run behind.
    const bytes = readFileSync(join(out, checkpoint(2))), damaged = Buffer.from(bytes);
    damaged[1000] ^= 1;
    await browser.upload('checkpoint', file('damaged.checkpoint', damaged));
    await status('damaged.checkpoint: the checkpoint is damaged');
    await browser.upload('checkpoint', join(out, checkpoint(2)));
    await status('2 epochs of a run on');
    await browser.run('document.getElementById("rate").value = 0.06');
    await browser.click('start');
    await status('the checkpoint is of another run: the learning rate is 0.05 there and 0.06 here');
    await browser.upload('checkpoint', join(out, checkpoint(2)));
    await status('2 epochs of a run on');
    await browser.click('start');
    await browser.until('document.getElementById("progress-text").textContent.includes("3 of 3 epochs")');
    assert.deepEqual(await browser.run('return [...document.querySelectorAll("#epochs-done td:nth-child(6)")].map((cell) => cell.title)'), expected.slice(0, 3));
    await shot('resumed');
    // The page's checkpoint in the program.
    rmSync(join(out, checkpoint(2)));
    await browser.click('save-checkpoint');
    const saved = join(browser.folder, 'epoch-000003.checkpoint');
    for (let tries = 0; !existsSync(saved) && tries < 200; tries++) await new Promise((resolve) => { setTimeout(resolve, 50); });
    copyFileSync(saved, join(out, checkpoint(3)));
    const resumed = train(out, 4, '--resume');
    assert.deepEqual(resumed.epochs.map((epoch) => epoch.fingerprint), expected);
    assert.match(resumed.backend, /simd128/);
    await browser.run(`const set = (id, value) => { document.getElementById(id).value = value; document.getElementById(id).dispatchEvent(new Event('change')); };
      set('data', 'synthetic'); set('preset', 'demo'); set('batch', 100); for (const layer of ['conv1', 'conv2']) document.getElementById('train-' + layer).checked = true;`);
  },

  async 'it trains, pauses and goes on, with the fingerprint of the program'() {
    await browser.run('document.getElementById("epochs").value = 1');
    await browser.click('start');
    await browser.until('document.getElementById("progress-text").textContent.startsWith("Epoch 1: 1")');
    await browser.click('pause');
    await browser.until('document.getElementById("progress-text").textContent.includes("paused")');
    const paused = await browser.text('progress-text');
    await new Promise((resolve) => { setTimeout(resolve, 300); });
    assert.equal(await browser.text('progress-text'), paused);
    await browser.click('pause');
    await browser.until('document.getElementById("progress-text").textContent.includes("1 of 1 epochs")');
    const [epoch, fingerprint, verdict, training, evaluation] = (await browser.run('return document.body.dataset.epoch')).split(' ');
    assert.deepEqual([epoch, fingerprint, verdict], ['1', known[0].fingerprints[0], 'equal']);
    console.log(`an epoch ${Number(training).toFixed(2)} s, its evaluation ${Number(evaluation).toFixed(2)} s`);
    await browser.run('document.getElementById("train").scrollIntoView()');
    await shot('trained');
    await browser.click('reset');
    await status('The model: trained on MNIST');
  },

  async 'nothing was refused by the policy, nothing failed'() {
    assert.deepEqual(await browser.log(), []);
    // Text of a file, of a board or of a run never becomes HTML or a program.
    for (const name of readdirSync(new URL('web/page/', repository)).filter((file) => file.endsWith('.js')))
      assert.doesNotMatch(readFileSync(new URL(`web/page/${name}`, repository), 'utf8'), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|\beval\b|new Function/, name);
    const named = await browser.run(`return [...document.querySelectorAll('button, input, select, canvas')].filter((it) =>
      !it.labels?.length && !it.textContent.trim() && !it.getAttribute('aria-label') && !it.closest('[aria-label]')).map((it) => it.outerHTML)`);
    assert.deepEqual(named.filter((it) => !it.includes('width="3"') && !it.includes('products')), []);
  },
};

// A phone: everything fits its width, in the dark too.
async function phone() {
  await loaded();
  await browser.draw('touch', THREE);
  await reads(3);
  assert.ok(await browser.run('return document.documentElement.scrollWidth <= innerWidth'), 'it fits the width of a phone');
  await shot('phone');
  // A lesson there too.
  await browser.run(`for (const label of [3, 5, 3]) document.getElementById('labels').children[label].click();
    for (const [id, value] of Object.entries({ 'lesson-ordinary': 0, 'lesson-epochs': 5 })) document.getElementById(id).value = value;`);
  await browser.click('learn');
  await browser.until('document.getElementById("lesson-status").textContent.includes("Learned: 3 of yours")');
  assert.ok(await browser.run('return document.documentElement.scrollWidth <= innerWidth'), 'the lesson fits the width of a phone');
  await browser.run('document.getElementById("labels").scrollIntoView({ block: "end" })');
  await shot('phone-labels');
  await browser.run('document.getElementById("teach").scrollIntoView()');
  await shot('phone-lesson');
  await browser.run('document.getElementById("learn").scrollIntoView()');
  await shot('phone-lesson-end');
  await focus('conv2');
  await browser.keys(DOWN);
  await browser.media('prefers-color-scheme', 'dark');
  await new Promise((resolve) => { setTimeout(resolve, 200); });
  await shot('phone-dark');
  await browser.run('document.getElementById("lesson-status").scrollIntoView()');
  await shot('phone-dark-lesson');
  assert.deepEqual(await browser.log(), []);
}

// Any static host will do, and none once it was loaded.
async function offline() {
  const types = { html: 'text/html', css: 'text/css', js: 'text/javascript', json: 'application/json', wasm: 'application/wasm' };
  const host = createServer((request, response) => {
    const name = request.url === '/' ? 'index.html' : request.url.slice(1);
    try {
      const path = name === 'mnist.cnnm' ? 'firmware/model/mnist.cnnm' : `web/page/${name}`;
      response.writeHead(200, { 'content-type': types[name.split('.').at(-1)] ?? 'application/octet-stream' }).end(readFileSync(new URL(path, repository)));
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => { host.listen(0, '127.0.0.1', resolve); });
  const address = `http://127.0.0.1:${host.address().port}/`;
  await browser.goTo(address);
  await loaded();
  await browser.call('POST', '/execute/async', { args: [], script: `const done = arguments[0];
    navigator.serviceWorker.register('offline.js').then(() => navigator.serviceWorker.ready).then(() => done(true));` });
  host.closeAllConnections();
  await new Promise((resolve) => { host.close(resolve); });
  await browser.goTo(address);
  await loaded();
  await reads(7);
}

try {
  browser = await Browser.open(1400, 1000);
  console.log(`Chromium ${browser.version}`);
  await browser.goTo(url);
  for (const [name, test] of Object.entries(tests)) {
    const start = performance.now();
    await test();
    console.log(`ok: ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  }
  await offline();
  console.log('ok: it works from any static host, and without one once it was loaded');
  await browser.close();
  browser = await Browser.open(390, 800, true);
  await browser.goTo(url);
  await phone();
  console.log('ok: it fits a phone');
} finally {
  await browser?.close();
  server.close();
  rmSync(folder, { recursive: true, force: true });
}
