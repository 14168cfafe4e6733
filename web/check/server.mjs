// `host-trainer serve` for the checks.

import { spawn } from 'node:child_process';

// The first line that a program prints.
export const firstLine = (child) => new Promise((resolve, reject) => {
  let text = '';
  child.stdout.on('data', (piece) => {
    text += piece;
    if (text.includes('\n')) resolve(text.split('\n')[0]);
  });
  child.on('exit', (code) => reject(new Error(`${child.spawnfile} ended with ${code}`)));
});

export async function serve(program) {
  const child = spawn(program, ['serve', '--no-open', '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  return { url: await firstLine(child), close: () => child.kill() };
}
