// Numbers as colours: blue below zero, orange above, the paper at zero. Both are told apart by the colour-blind, and in
// light and dark.

const styles = getComputedStyle(document.documentElement);
let palette = read();

function read() {
  const colour = (name) => styles.getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16));
  const [zero, below, above] = ['--zero', '--below', '--above'].map(colour);
  // 511 shades, from all below to all above, as a canvas has its pixels.
  const shades = new Uint8ClampedArray(4 * 511);
  for (let shade = -255; shade <= 255; shade++) {
    const to = shade < 0 ? below : above;
    shades.set([...zero.map((part, i) => part + (to[i] - part) * Math.abs(shade) / 255), 255], 4 * (shade + 255));
  }
  return { shades: new Uint32Array(shades.buffer), parts: shades, mark: styles.getPropertyValue('--mark') };
}

export function onPaletteChange(redraw) {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    palette = read();
    redraw();
  });
}

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

// `width` × `height` values as an image of so many pixels.
export function image(values, width, height, most) {
  const picture = new ImageData(width, height), pixels = new Uint32Array(picture.data.buffer);
  for (let i = 0; i < values.length; i++) pixels[i] = palette.shades[shade(values[i], most)];
  return picture;
}

// Grey values, white ink on black.
export function grey(pixels, width, height) {
  const picture = new ImageData(width, height);
  pixels.forEach((value, i) => picture.data.set([value, value, value, 255], 4 * i));
  return picture;
}
