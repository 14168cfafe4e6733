// Numbers as colours: blue below zero, orange above, the paper at zero. Both are told apart by the colour-blind, and in
// light and dark.

const styles = getComputedStyle(document.documentElement);
let palette = read();
const listeners = [];

function read() {
  const colour = (name) => styles.getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16));
  const [zero, below, above] = ['--zero', '--below', '--above'].map(colour);
  // 511 shades, from all below to all above, as a canvas has its pixels.
  const shades = new Uint8ClampedArray(4 * 511);
  for (let shade = -255; shade <= 255; shade++) {
    const to = shade < 0 ? below : above;
    shades.set([...zero.map((part, i) => part + (to[i] - part) * Math.abs(shade) / 255), 255], 4 * (shade + 255));
  }
  return { shades: new Uint32Array(shades.buffer), parts: shades, mark: ['--mark', '--halo'].map((name) => styles.getPropertyValue(name)) };
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  palette = read();
  for (const redraw of listeners) redraw();
});

export const onPaletteChange = (redraw) => listeners.push(redraw);

export const mark = () => palette.mark;

export function largest(values) {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most || 1;
}

const shade = (value, most) => 255 + Math.round(255 * Math.max(-1, Math.min(1, value / most)));

function colour(value, most) {
  const at = 4 * shade(value, most);
  return [...palette.parts.subarray(at, at + 3)];
}

export const css = (value, most) => `rgb(${colour(value, most).join(' ')})`;

// A text on that colour: what contrasts more of black and white.
export function inkOn(value, most) {
  const [r, g, b] = colour(value, most).map((part) => (part / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? '#000' : '#fff';
}

// Maps of `width` × `height` values as one image, `columns` side by side, a pixel a value, with a clear pixel between maps.
export function images(values, width, height, columns, most) {
  const area = width * height, rows = Math.ceil(values.length / area / columns), line = columns * (width + 1) - 1;
  const picture = new ImageData(line, rows * (height + 1) - 1), pixels = new Uint32Array(picture.data.buffer);
  for (let i = 0, map = 0; i < values.length; map++) {
    const corner = Math.floor(map / columns) * (height + 1) * line + (map % columns) * (width + 1);
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++, i++) pixels[corner + row * line + column] = palette.shades[shade(values[i], most)];
  }
  return picture;
}

// Grey values, white ink on black.
export function grey(pixels, width, height) {
  const picture = new ImageData(width, height), { data } = picture;
  data.fill(255);
  for (let i = 0; i < pixels.length; i++) data[4 * i] = data[4 * i + 1] = data[4 * i + 2] = pixels[i];
  return picture;
}

// Patches of 3×3 weights side by side, each value `scale` pixels wide.
export function patches(canvas, weights, columns, scale) {
  const picture = images(weights, 3, 3, columns, largest(weights));
  [canvas.width, canvas.height] = [picture.width * scale, picture.height * scale];
  enlarge(picture, new OffscreenCanvas(picture.width, picture.height), canvas);
}

// Fills the canvas with the picture, each pixel a square; `small` is a canvas of the picture's size.
export function enlarge(picture, small, canvas) {
  small.getContext('2d').putImageData(picture, 0, 0);
  const context = canvas.getContext('2d');
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}
