// A program that is compiled for WASI, in a browser, as cargo's runner: node wasi.mjs BROWSER PROGRAM ARGUMENTS…
//
// It is given what libtest needs: arguments, the environment, clocks, random numbers, and where it prints. There are no files.

import { readFileSync } from 'node:fs';
import { resultOf } from './headless.mjs';

const [browser, program, ...args] = process.argv.slice(2);
const environment = Object.entries(process.env).filter(([name]) => /^(SLOW|RUST_)/.test(name)).map(([name, value]) => `${name}=${value}`);

// Runs in the browser. Numbers are WASI's error codes and preview 1's layouts.
async function run(path, args, environment) {
  const NOT_THERE = 8, NO_SUCH_CALL = 52, module = await WebAssembly.compileStreaming(fetch(path));
  let memory, text = '', code = 0;
  const view = () => new DataView(memory.buffer), bytes = (at, length) => new Uint8Array(memory.buffer, at, length);
  const encoder = new TextEncoder(), decoder = new TextDecoder();
  const sizes = (list) => (count, length) => {
    view().setUint32(count, list.length, true);
    view().setUint32(length, list.reduce((sum, entry) => sum + encoder.encode(entry).length + 1, 0), true);
    return 0;
  };
  const strings = (list) => (places, at) => {
    for (const [i, entry] of list.entries()) {
      const encoded = encoder.encode(`${entry}\0`);
      view().setUint32(places + 4 * i, at, true);
      bytes(at, encoded.length).set(encoded);
      at += encoded.length;
    }
    return 0;
  };
  const calls = {
    args_sizes_get: sizes(args), args_get: strings(args), environ_sizes_get: sizes(environment), environ_get: strings(environment),
    clock_time_get(_clock, _precision, at) { view().setBigUint64(at, BigInt(Math.floor(performance.now() * 1e6)), true); return 0; },
    random_get(at, length) { for (let i = 0; i < length; i += 65536) crypto.getRandomValues(bytes(at + i, Math.min(65536, length - i))); return 0; },
    fd_write(_file, pieces, count, written) {
      let length = 0;
      for (let i = 0; i < count; i++) {
        const [at, size] = [0, 4].map((offset) => view().getUint32(pieces + 8 * i + offset, true));
        text += decoder.decode(bytes(at, size).slice(), { stream: true });
        length += size;
      }
      view().setUint32(written, length, true);
      return 0;
    },
    fd_prestat_get: () => NOT_THERE, sched_yield: () => 0,
    proc_exit(status) { code = status; throw new Error('exit'); },
  };
  const imports = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) (imports[from] ??= {})[name] = calls[name] ?? (() => NO_SUCH_CALL);
  const { exports } = await WebAssembly.instantiate(module, imports);
  memory = exports.memory;
  try {
    exports._start();
  } catch (error) {
    if (error.message !== 'exit') [text, code] = [`${text}\n${error}`, 1];
  }
  return { text, code };
}

const { text, code, agent } = await resultOf(browser, `
  ${run}
  let result;
  try {
    result = await run('/program.wasm', ${JSON.stringify([program, ...args])}, ${JSON.stringify(environment)});
  } catch (error) {
    result = { text: String(error), code: 1 };
  }
  await fetch('/result', { method: 'POST', body: JSON.stringify({ ...result, agent: navigator.userAgent }) });`, (path) => {
  if (path !== 'program.wasm') throw new Error(path);
  return readFileSync(program);
});
console.log(`${agent}\n${text}`);
process.exit(code);
