// Files of the project, and of MNIST where MNIST_DIR names its folder.

import { existsSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

const folder = process.env.MNIST_DIR;
export const mnist = Boolean(folder);

export function read(path) {
  if (!path.includes('-ubyte')) return new Uint8Array(readFileSync(new URL(`../../${path}`, import.meta.url)));
  const file = `${folder}/${path}`;
  return new Uint8Array(existsSync(file) ? readFileSync(file) : gunzipSync(readFileSync(`${file}.gz`)));
}
