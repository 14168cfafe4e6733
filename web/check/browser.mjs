// Chromium without a window, driven over WebDriver's plain HTTP: Debian's chromium and chromium-driver, no package.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';

const freePort = () => new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

export class Browser {
  static async open(width, height, touch = false) {
    const browser = new Browser();
    const port = await freePort();
    browser.folder = mkdtempSync(join(tmpdir(), 'page-'));
    browser.driver = spawn('chromedriver', [`--port=${port}`, '--log-level=OFF'], { stdio: 'ignore' });
    browser.root = `http://127.0.0.1:${port}`;
    for (let tries = 0; ; tries++) {
      try {
        if ((await browser.call('GET', '/status')).ready) break;
      } catch (error) {
        if (tries > 200) throw error;
      }
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    const options = {
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
        `--window-size=${width},${height}`, `--user-data-dir=${browser.folder}`],
      prefs: { 'download.default_directory': browser.folder, 'profile.default_content_setting_values.automatic_downloads': 1 },
    };
    if (touch) options.mobileEmulation = { deviceMetrics: { width, height, pixelRatio: 2, touch: true } };
    const capabilities = { alwaysMatch: { browserName: 'chrome', 'goog:chromeOptions': options, 'goog:loggingPrefs': { browser: 'ALL' } } };
    const session = await browser.call('POST', '/session', { capabilities });
    browser.root += `/session/${session.sessionId}`;
    browser.version = session.capabilities.browserVersion;
    await browser.call('POST', '/timeouts', { script: 240000 });
    return browser;
  }

  async call(method, path, body) {
    const response = await fetch(this.root + path, { method, body: body && JSON.stringify(body), headers: { 'content-type': 'application/json' } });
    const { value } = await response.json();
    if (value?.error) throw new Error(`${path}: ${value.error}: ${value.message.split('\n')[0]}`);
    return value;
  }

  goTo = (url) => this.call('POST', '/url', { url });
  run = (script, ...args) => this.call('POST', '/execute/sync', { script, args });
  // Waits until the expression is true, and returns it.
  until = (expression) => this.call('POST', '/execute/async', {
    script: `const done = arguments[0]; (function look() { const it = ${expression}; it ? done(it) : setTimeout(look, 20); })();`, args: [] });
  click = (id) => this.run('document.getElementById(arguments[0]).click()', id);
  text = (id) => this.run('return document.getElementById(arguments[0]).textContent', id);
  screenshot = async () => Buffer.from(await this.call('GET', '/screenshot'), 'base64');
  log = () => this.call('POST', '/se/log', { type: 'browser' });
  media = (name, value) => this.call('POST', '/goog/cdp/execute', { cmd: 'Emulation.setEmulatedMedia', params: { features: [{ name, value }] } });

  // Gives files to an input, in the place of those that it has.
  async upload(id, ...paths) {
    await this.run('document.getElementById(arguments[0]).value = ""', id);
    const found = await this.call('POST', '/element', { using: 'css selector', value: `#${id}` });
    await this.call('POST', `/element/${found[ELEMENT]}/value`, { text: paths.join('\n') });
  }

  async keys(...keys) {
    await this.call('POST', '/actions', { actions: [{ type: 'key', id: 'keys', actions: keys.flatMap((value) => [{ type: 'keyDown', value }, { type: 'keyUp', value }]) }] });
  }

  // Draws on the pad with a mouse, a finger or a pen; points are shares of its side.
  async draw(pointerType, ...strokes) {
    const box = await this.run('const pad = document.getElementById("pad"); pad.scrollIntoView({ block: "center" }); const { left, top, width } = pad.getBoundingClientRect(); return [left, top, width];');
    const move = ([x, y]) => ({ type: 'pointerMove', duration: 30, x: Math.round(box[0] + x * box[2]), y: Math.round(box[1] + y * box[2]) });
    const actions = strokes.flatMap(([first, ...rest]) => [move(first), { type: 'pointerDown', button: 0, pressure: 0.5 }, ...rest.map(move), { type: 'pointerUp', button: 0 }]);
    await this.call('POST', '/actions', { actions: [{ type: 'pointer', id: pointerType, parameters: { pointerType }, actions }] });
    await this.call('DELETE', '/actions');
  }

  async close() {
    await this.call('DELETE', '').catch(() => {});
    this.driver.kill();
    await new Promise((resolve) => { this.driver.exitCode === null ? this.driver.once('exit', resolve) : resolve(); });
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
