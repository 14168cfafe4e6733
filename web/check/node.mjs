// The page's WebAssembly in Node, bit for bit: node node.mjs MODULE…

import { readFileSync } from 'node:fs';
import { Network } from '../page/network.js';
import { compareBits } from './bits.mjs';
import { mnist, read } from './files.mjs';

for (const path of process.argv.slice(2)) {
  console.log(`── ${path}`);
  const module = await WebAssembly.compile(readFileSync(path));
  if (!await compareBits({ Network, module, read, mnist, wholeEpoch: true, print: console.log })) process.exitCode = 1;
}
