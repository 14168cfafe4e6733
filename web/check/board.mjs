// The page with a board, in Chromium: node board.mjs HOST_TRAINER BOARD [FOLDER_FOR_SCREENSHOTS]
//
// BOARD is the firmware's ELF file, which runs in QEMU, or the program board_socket (tests/examples). A serial port takes
// the place of the browser's; what is written to it comes here, and goes to the board's socket.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Browser } from './browser.mjs';
import { firstLine, serve } from './server.mjs';

const [program, board, shots] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'page-board-'));
const isFirmware = readFileSync(board).includes('SEGGER RTT');

async function start() {
  if (!isFirmware) {
    const child = spawn(board, [], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [host, port] = (await firstLine(child)).split(':');
    return { child, line: connect(Number(port), host) };
  }
  const path = join(folder, 'serial');
  const child = spawn('qemu-system-arm', ['-M', 'netduinoplus2', '-display', 'none', '-monitor', 'none', '-icount', 'shift=0', '-serial', 'null',
    '-serial', 'chardev:line', '-chardev', `socket,id=line,path=${path},server=on,wait=on`, '-kernel', board], { stdio: ['ignore', 'inherit', 'inherit'] });
  while (!existsSync(path)) await new Promise((resolve) => { setTimeout(resolve, 20); });
  return { child, line: connect(path) };
}

// In the page: a port that a test holds the other end of.
const PORT = `(() => {
  const fake = window.fakePort = { said: [], wake: null, refuses: null, chosen: true };
  class Port extends EventTarget {
    readable = null; writable = null;
    async open(options) {
      fake.options = options;
      if (fake.refuses) throw new DOMException('Failed to open serial port.', fake.refuses);
      this.readable = new ReadableStream({ start: (controller) => { fake.controller = controller; } });
      this.writable = new WritableStream({ write: (bytes) => { fake.said.push(...bytes); fake.wake?.(); } });
    }
    async close() {
      if (this.readable?.locked || this.writable?.locked) throw new TypeError('locked');
      this.readable = this.writable = null;
    }
  }
  fake.port = new Port();
  fake.hear = (bytes) => {
    try {
      fake.controller.enqueue(Uint8Array.from(bytes));
    } catch {
      // The port is closed: what comes is lost.
    }
  };
  fake.unplug = () => {
    fake.port.readable = fake.port.writable = null;
    fake.controller.error(new DOMException('The device has been lost.', 'NetworkError'));
  };
  const serial = new EventTarget();
  serial.requestPort = async () => {
    if (!fake.chosen) throw new DOMException('No port selected by the user.', 'NotFoundError');
    return fake.port;
  };
  Object.defineProperty(navigator, 'serial', { value: serial });
})();`;

// Time goes faster: a silence of ten seconds takes half a second.
const FASTER = `(() => {
  const [now, wait] = [performance.now.bind(performance), setTimeout];
  performance.now = () => 20 * now();
  window.setTimeout = (work, time, ...rest) => wait(work, time / 20, ...rest);
})();`;

const server = await serve(program);
let browser, held;
const shot = async (name) => shots && writeFileSync(join(shots, `${name}.png`), await browser.screenshot());
const status = () => browser.text('board-status');

// Passes bytes on in both directions until the page says it, in its words on the board or elsewhere.
async function says(part, answer = null, where = 'board-status') {
  const end = Date.now() + 120000;
  for (;;) {
    const inward = held.came.splice(0);
    const said = await browser.call('POST', '/execute/async', { args: [inward, where], script: `const [inward, where, done] = arguments, fake = window.fakePort;
      if (inward.length > 0) fake.hear(inward);
      const answer = () => { fake.wake = null; done([fake.said.splice(0), document.getElementById(where).textContent]); };
      if (fake.said.length > 0) answer(); else { fake.wake = answer; setTimeout(() => fake.wake === answer && answer(), 10); }` });
    const [outward, text] = said;
    if (text.includes(part)) return text;
    assert.ok(Date.now() < end, `"${part}" is not said, but "${text}"`);
    if (outward.length === 0) continue;
    if (answer) held.came.push(...answer(outward));
    else {
      held.line.write(Uint8Array.from(outward));
      for (let tries = 0; tries < 40 && held.came.length === 0; tries++) await new Promise((resolve) => { setTimeout(resolve, 5); });
    }
  }
}

const connected = async () => {
  await browser.click('connect');
  return says('Connected');
};

async function reload(...scripts) {
  for (const source of scripts) await browser.call('POST', '/goog/cdp/execute', { cmd: 'Page.addScriptToEvaluateOnNewDocument', params: { source } });
  await browser.goTo(server.url);
  await browser.until('document.body.dataset.ready');
}

const tests = {
  async 'a browser without serial ports is told'() {
    await browser.call('POST', '/goog/cdp/execute', { cmd: 'Page.addScriptToEvaluateOnNewDocument', params: { source: 'Object.defineProperty(navigator, "serial", { value: undefined, configurable: true })' } });
    await reload();
    assert.match(await status(), /has no WebSerial/);
    assert.ok(await browser.run('return document.getElementById("connect").disabled'));
  },

  async 'no port, or one that does not open'() {
    await reload(PORT);
    await browser.run('fakePort.chosen = false');
    await browser.click('connect');
    await says('No port was chosen');
    await browser.run('fakePort.chosen = true; fakePort.refuses = "NetworkError"');
    await browser.click('connect');
    await says('the port cannot be opened: another program may have it');
    await browser.run('fakePort.refuses = null');
  },

  async 'a board says who it is, and reads digits with the bits of the page'() {
    const text = await connected();
    assert.equal(await browser.run('return fakePort.options.baudRate'), 460800);
    console.log(`${text} ${await browser.text('board-fields')}`);
    // QEMU has no flash controller: the firmware there takes the model that it has already, and refuses another.
    await browser.click('board-update');
    await says('The board runs');
    await browser.click('board-info');
    await says('It runs this page’s model');
    for (let i = 0; i < 10; i++) {
      await browser.run('document.querySelectorAll("#samples button")[arguments[0]].click()', i);
      await browser.click('board-classify');
      await says('Ten logits of ten are this page’s, bit for bit');
      await browser.run('document.getElementById("board-status").textContent = ""');
    }
    await browser.run('document.getElementById("board").scrollIntoView()');
    await browser.click('board-classify');
    await says('Ten logits');
    await shot('board');
  },

  async 'the board learns the head of the page, epoch by epoch, keeps it and forgets it'() {
    const set = (values) => browser.run('for (const [id, value] of Object.entries(arguments[0])) document.getElementById(id).value = value', values);
    const lesson = (part) => says(part, null, 'lesson-status');
    const equal = () => browser.run('return document.querySelectorAll("#lesson-epochs-done .equal").length');
    for (let i = 0; i < 3; i++) await browser.run('document.querySelectorAll("#samples button")[arguments[0]].click(); document.getElementById("labels").children[arguments[0] + 4].click()', i);
    await set({ 'lesson-epochs': 6, 'lesson-rate': 0.01 });
    await browser.click('learn-board');
    console.log(await lesson('3 of yours and 6 ordinary ones, 6 epochs'));
    assert.match(await browser.text('lesson-status'), /the same after every epoch, bit for bit/);
    assert.equal(await equal(), 6);
    await browser.run('document.getElementById("teach").scrollIntoView()');
    await shot('board-lesson');
    // Both read with it, and nothing is taught twice.
    await browser.click('board-classify');
    await says('Ten logits of ten are this page’s with the learned head, bit for bit');
    await browser.click('board-info');
    await says('It runs this page’s model');
    assert.match(await browser.text('board-fields'), /3 taught and 6 ordinary, room for \d+.*learned: [0-9a-f]{64}/s);
    // QEMU has no flash controller.
    await browser.click('learn-keep');
    await says(isFirmware ? 'flash has no room for another head' : 'The board keeps the learned head');
    // Learned over other digits here alone, the heads differ; and the page says why.
    await browser.run('document.querySelector("#taught button").click()');
    await set({ 'lesson-ordinary': 0 });
    await browser.click('learn');
    await browser.until('document.getElementById("lesson-status").textContent.includes("2 of yours and 0 ordinary")');
    assert.equal(await equal(), 0);
    await browser.click('board-classify');
    await says('It uses a learned head that was not learned here');
    // Other samples take the place of those that are there.
    await browser.click('learn-board');
    await lesson('2 of yours and 0 ordinary ones, 6 epochs. ');
    await lesson('The board’s head was the same');
    // What cannot be is said, by the board's room as by the form.
    await set({ 'lesson-ordinary': 1000 });
    await browser.click('learn-board');
    await lesson('there is no room for more than');
    await set({ 'lesson-ordinary': 0, 'lesson-rate': 1e30 });
    await browser.click('learn-board');
    await lesson('the learning diverged in epoch 1');
    // One that is stopped, on the board as here.
    await set({ 'lesson-epochs': 1000, 'lesson-rate': 0.001 });
    await browser.run('document.getElementById("lesson-status").textContent = ""');
    await browser.click('learn-board');
    await lesson('Learning, here and on the board');
    await browser.click('learn-stop');
    await lesson('Stopped; the head is the one from before');
    await browser.click('board-classify');
    await says('with the learned head, bit for bit');
    // Another network here.
    await browser.click('learn-save');
    const saved = join(browser.folder, 'my-hand.cnnm');
    for (let tries = 0; !existsSync(saved) && tries < 200; tries++) await new Promise((resolve) => { setTimeout(resolve, 50); });
    await browser.upload('model', saved);
    await browser.until('document.getElementById("status").textContent.includes("my-hand.cnnm: imported")');
    await browser.click('learn-board');
    await lesson('the board runs another model than this page');
    await browser.click('reset');
    await browser.click('learn-forget-board');
    await says('The board has forgotten');
    assert.match(await browser.text('board-fields'), /0 taught and 0 ordinary.*the model's own/s);
    await browser.click('board-classify');
    await says('Ten logits of ten are this page’s, bit for bit');
    // A cable that is pulled in the middle.
    await browser.click('learn-board');
    await lesson('Learning, here and on the board');
    await browser.run('fakePort.unplug()');
    await lesson('the line to the board broke');
    assert.equal(await browser.run('return ["learn-board", "learn-keep", "learn-forget-board"].every((id) => document.getElementById(id).disabled)'), true);
    await browser.click('learn-forget');
    await connected();
  },

  async 'a line that breaks is said, and the board can be connected again'() {
    await browser.run('fakePort.unplug()');
    await browser.click('board-info');
    await says('the line to the board broke');
    await connected();
    await browser.click('connect');
    await says('Disconnected');
  },

  async 'what is no board is said'() {
    await reload(FASTER);
    for (const [answer, part] of [[() => [], 'does not answer'], [(said) => said, 'gives back what is sent'], [() => [66, 79, 79, 84, 13, 10, 0, 1, 0], 'no reply of this firmware']]) {
      held.came.length = 0;
      await browser.click('connect');
      await says(part, answer);
    }
  },

  async 'nothing was refused by the policy, nothing failed'() {
    assert.deepEqual(await browser.log(), []);
  },
};

try {
  browser = await Browser.open(1400, 1000);
  held = { ...await start(), came: [] };
  held.line.on('data', (bytes) => held.came.push(...bytes));
  for (const [name, test] of Object.entries(tests)) {
    const begin = performance.now();
    await test();
    console.log(`ok: ${name} (${((performance.now() - begin) / 1000).toFixed(1)} s)`);
  }
} finally {
  await browser?.close();
  held?.line.destroy();
  held?.child.kill();
  server.close();
  rmSync(folder, { recursive: true, force: true });
}
