// The page's WebAssembly in any browser, bit for bit: node anywhere.mjs BROWSER [--whole-epoch]
//
// BROWSER is a program that takes --headless and an address, as firefox-esr and chromium do. No driver is needed: the page
// sends what it finds back.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mnist, read } from './files.mjs';

const [program, ...flags] = process.argv.slice(2);
const wholeEpoch = flags.includes('--whole-epoch');
const PAGE = `<!doctype html><title>Bits</title><link rel="icon" href="data:,"><script type="module">
  import { Network } from '/web/page/network.js';
  import { compareBits } from '/web/check/bits.mjs';
  const read = async (path) => new Uint8Array(await (await fetch('/' + path)).arrayBuffer());
  const lines = [navigator.userAgent];
  let equal = false;
  try {
    const module = await WebAssembly.compileStreaming(fetch('/web/page/cnn.wasm'));
    equal = await compareBits({ Network, module, read, mnist: ${mnist}, wholeEpoch: ${wholeEpoch}, print: (line) => lines.push(line) });
  } catch (error) {
    lines.push(String(error));
  }
  await fetch('/result', { method: 'POST', body: JSON.stringify({ equal, lines }) });
</script>`;

const profile = mkdtempSync(join(tmpdir(), 'browser-'));
const types = { js: 'text/javascript', mjs: 'text/javascript', wasm: 'application/wasm' };
const result = await new Promise((resolve, reject) => {
  const server = createServer(async (request, response) => {
    if (request.method === 'POST') {
      let text = '';
      for await (const piece of request) text += piece;
      response.end();
      resolve(JSON.parse(text));
    } else if (request.url === '/') response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
    else {
      try {
        const bytes = read(request.url.slice(1));
        response.writeHead(200, { 'content-type': types[request.url.split('.').at(-1)] ?? 'application/octet-stream' }).end(bytes);
      } catch {
        response.writeHead(404).end();
      }
    }
  }).listen(0, '127.0.0.1', () => {
    const url = `http://127.0.0.1:${server.address().port}/`, isFirefox = program.includes('firefox');
    // Nothing but this page is asked for.
    writeFileSync(join(profile, 'user.js'), ['app.normandy.enabled', 'app.update.enabled', 'browser.shell.checkDefaultBrowser', 'datareporting.policy.dataSubmissionEnabled',
      'network.captive-portal-service.enabled', 'network.connectivity-service.enabled', 'toolkit.telemetry.enabled'].map((name) => `user_pref("${name}", false);`).join('\n'));
    const own = isFirefox ? ['--no-remote', '--profile', profile] : ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', `--user-data-dir=${profile}`];
    const browser = spawn(program, ['--headless', ...own, url], { stdio: 'ignore', env: { ...process.env, HOME: profile } });
    const end = setTimeout(() => reject(new Error(`${program} sends nothing back`)), 300000);
    browser.on('error', reject);
    process.on('exit', () => browser.kill());
    server.on('close', () => clearTimeout(end));
  });
});
console.log(result.lines.join('\n'));
rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
process.exit(result.equal ? 0 : 1);
