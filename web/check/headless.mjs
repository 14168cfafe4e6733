// A page in a browser without a window. No driver is needed: the page sends what it finds back.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const TYPES = { js: 'text/javascript', mjs: 'text/javascript', wasm: 'application/wasm' };
// Minutes are what an emulated or busy machine takes.
const PATIENCE = 300000;
// Nothing but the page is asked for.
const SILENT = ['app.normandy.enabled', 'app.update.enabled', 'browser.shell.checkDefaultBrowser', 'datareporting.policy.dataSubmissionEnabled',
  'network.captive-portal-service.enabled', 'network.connectivity-service.enabled', 'toolkit.telemetry.enabled'];

// What the module script `script` posts to /result, as JSON. `program` is a browser that takes --headless and an address, as
// firefox-esr and chromium do; `read` gives the bytes of a path.
export async function resultOf(program, script, read) {
  const page = `<!doctype html><title>Check</title><link rel="icon" href="data:,"><script type="module">${script}</script>`;
  const profile = mkdtempSync(join(tmpdir(), 'browser-'));
  let browser, end;
  const server = createServer();
  try {
    return await new Promise((resolve, reject) => {
      end = setTimeout(() => reject(new Error(`${program} sends nothing back`)), PATIENCE);
      server.on('request', async (request, response) => {
        if (request.method === 'POST') {
          let text = '';
          for await (const piece of request) text += piece;
          response.end();
          resolve(JSON.parse(text));
        } else if (request.url === '/') response.writeHead(200, { 'content-type': 'text/html' }).end(page);
        else {
          try {
            const bytes = read(request.url.slice(1));
            response.writeHead(200, { 'content-type': TYPES[request.url.split('.').at(-1)] ?? 'application/octet-stream' }).end(bytes);
          } catch {
            response.writeHead(404).end();
          }
        }
      }).listen(0, '127.0.0.1', () => {
        browser = start(program, profile, `http://127.0.0.1:${server.address().port}/`);
        browser.on('error', reject);
      });
    });
  } finally {
    clearTimeout(end);
    server.close();
    server.closeAllConnections();
    if (browser?.pid) {
      const gone = once(browser, 'exit');
      browser.kill();
      await gone;
    }
    // Its children may still write for a moment.
    rmSync(profile, { recursive: true, force: true, maxRetries: 20 });
  }
}

function start(program, profile, url) {
  writeFileSync(join(profile, 'user.js'), SILENT.map((name) => `user_pref("${name}", false);`).join('\n'));
  const own = program.includes('firefox') ? ['--no-remote', '--profile', profile]
    : ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', `--user-data-dir=${profile}`];
  return spawn(program, ['--headless', ...own, url], { stdio: 'ignore', env: { ...process.env, HOME: profile } });
}
