// How one value came about, in the order and with the roundings of the contract (docs/numerics.md).

import { LAYERS } from './network.js';

const f = Math.fround;

// The terms of a sum: from the bias on, each product rounded before it is added. `at` is where the input lies.
function sum(network, layer, output, places) {
  const input = network.values(layer.from), parameters = network.parameters;
  const bias = parameters[layer.bias + output];
  let value = bias;
  const terms = places.map((at, i) => {
    const [x, weight] = [input[at], parameters[layer.weight + output * places.length + i]];
    const product = f(x * weight);
    value = f(value + product);
    return { at, x, weight, product, sum: value };
  });
  return { bias, terms, sum: value };
}

// Value `index` of a layer: what made it, its own bits computed again here, and whether they are the network's.
export function explain(network, name, channel, row, column) {
  const layer = LAYERS[name], area = layer.width * layer.height;
  const index = channel * area + row * layer.width + column;
  const value = network.values(name)[index];
  const place = { name, layer, channel, row, column, index, value };
  if (layer.kind === 'input') return { ...place, pixel: network.pixels[index], equal: Object.is(f(f(f(network.pixels[index] / 255) - 0.5) / 0.5), value) };
  const from = LAYERS[layer.from];
  if (layer.kind === 'pool') {
    const start = (channel * from.height + 2 * row) * from.width + 2 * column;
    const places = [0, 1, from.width, from.width + 1].map((step) => start + step);
    const input = network.values(layer.from), window = places.map((at) => input[at]);
    // A later value wins only if it is greater; none does unless it is above 0.
    let winner = 0;
    for (let i = 1; i < 4; i++) if (window[i] > window[winner]) winner = i;
    const pooled = window[winner] > 0 ? window[winner] : 0;
    return { ...place, places, window, winner: window[winner] > 0 ? winner : null, equal: Object.is(pooled, value) };
  }
  const output = layer.kind === 'conv' ? channel : index;
  const places = [];
  if (layer.kind === 'conv') {
    for (let c = 0; c < from.channels; c++)
      for (let k = 0; k < 9; k++) places.push((c * from.height + row + Math.floor(k / 3)) * from.width + column + k % 3);
  } else {
    for (let i = 0; i < from.channels * from.width * from.height; i++) places.push(i);
  }
  const made = sum(network, layer, output, places);
  const own = name === 'hidden' ? (made.sum > 0 ? made.sum : 0) : made.sum;
  return { ...place, ...made, places, output, equal: Object.is(own, value) };
}
