// A picture file becomes RGBA pixels: the browser decodes and turns it, the preparation is the program's own.

import { Refusal } from './network.js';

// The program keeps pictures up to this side; larger ones are made smaller.
const KEPT_SIDE = 1536;
// The browser decodes before anyone knows the size: a file as long as the program takes.
const MAX_BYTES = 64 << 20;

export async function read(file) {
  if (file.size > MAX_BYTES) throw new Refusal('the file is too long for a picture');
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' });
  } catch {
    throw new Refusal('this is no picture that the browser can read');
  }
  const scale = Math.min(1, KEPT_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return { canvas, pixels: context.getImageData(0, 0, canvas.width, canvas.height) };
}
