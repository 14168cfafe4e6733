// A run as it goes, in Chromium: node live.mjs HOST_TRAINER [FOLDER_FOR_SCREENSHOTS]

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Browser } from './browser.mjs';

const [program, shots] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'page-live-'));
const shot = async (name) => shots && writeFileSync(join(shots, `${name}.png`), await browser.screenshot());

// The run, and its page's address.
async function start(epochs, ...more) {
  const run = spawn(program, ['train', '--dataset', 'synthetic', '--lr', '0.03', '--epochs', String(epochs), '--out', join(folder, 'out'), '--live', '0', '--no-open', ...more], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => { run.on('exit', resolve); });
  const url = await new Promise((resolve) => {
    let text = '';
    run.stdout.on('data', (piece) => {
      text += piece;
      const found = text.match(/^live +(\S+)$/m);
      if (found) resolve(found[1]);
    });
  });
  return { run, url, ended };
}

let browser, going;
try {
  browser = await Browser.open(1400, 1300);
  going = await start(2);
  await browser.goTo(going.url);
  await browser.until('document.getElementById("live-about").textContent.includes("lr 0.03")');
  await browser.until('document.querySelectorAll("#live-rows tr").length === 1');
  assert.ok(await browser.run('return document.querySelectorAll("#live-misread li").length > 0'), 'digits that are read wrong');
  assert.match(await browser.run('return document.getElementById("live-loss").getAttribute("aria-label")'), /^Loss over 2 epochs, now \d/);
  await browser.run('document.getElementById("live").scrollIntoView()');
  await shot('live');
  await browser.until('document.getElementById("live").dataset.ended');
  assert.match(await browser.text('live-state'), /^Ended: the run is complete after 2 epochs/);
  assert.equal(await going.ended, 0);
  const shown = await browser.run('return [...document.querySelectorAll("#live-rows td:last-child")].map((cell) => cell.title)');
  const record = JSON.parse(readFileSync(join(folder, 'out', 'run.json')));
  assert.deepEqual(shown.reverse(), record.epochs.map((epoch) => epoch.fingerprint));
  assert.deepEqual(await browser.log(), []);
  console.log('ok: a run is shown as it goes, and its end');

  // One that goes on; its program is killed.
  going = await start(9, '--resume');
  await browser.goTo(going.url);
  await browser.until('document.querySelectorAll("#live-rows tr").length >= 2');
  going.run.kill('SIGKILL');
  await browser.until('document.getElementById("live-state").textContent.includes("does not answer")');
  console.log('ok: a run that goes on tells what was, and a program that is gone is said');
} finally {
  await browser?.close();
  going?.run.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
