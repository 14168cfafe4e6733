// The page's WebAssembly in any browser, bit for bit: node anywhere.mjs BROWSER [--whole-epoch]

import { mnist, read } from './files.mjs';
import { resultOf } from './headless.mjs';

const [program, ...flags] = process.argv.slice(2);
const { equal, lines } = await resultOf(program, `
  import { Network } from '/web/page/network.js';
  import { compareBits } from '/web/check/bits.mjs';
  const read = async (path) => new Uint8Array(await (await fetch('/' + path)).arrayBuffer());
  const lines = [navigator.userAgent];
  let equal = false;
  try {
    const module = await WebAssembly.compileStreaming(fetch('/web/page/cnn.wasm'));
    equal = await compareBits({ Network, module, read, mnist: ${mnist}, wholeEpoch: ${flags.includes('--whole-epoch')}, print: (line) => lines.push(line) });
  } catch (error) {
    lines.push(String(error));
  }
  await fetch('/result', { method: 'POST', body: JSON.stringify({ equal, lines }) });`, read);
console.log(lines.join('\n'));
process.exit(equal ? 0 : 1);
