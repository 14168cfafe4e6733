// What made one value, for people: tables of numbers, colours, and the whole sum in its order on request.

import { LAYERS } from './network.js';
import { css, images, inkOn, largest } from './paint.js';

export function element(tag, properties = {}, ...children) {
  const { className, dataset, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  if (className) made.className = className;
  if (dataset) Object.assign(made.dataset, dataset);
  made.append(...children);
  return made;
}

const minus = (text) => text.replaceAll('-', '−');
const short = (value) => minus(value.toFixed(2));
// As many digits as tell every f32 from its neighbours.
export const exact = (value) => minus(Object.is(value, -0) ? '-0' : String(Number(value.toPrecision(9))));

function grid(values, columns, caption, most = largest(values), winner = null) {
  const rows = [];
  for (let start = 0; start < values.length; start += columns) {
    rows.push(element('tr', {}, ...values.slice(start, start + columns).map((value, i) => {
      const cell = element('td', { textContent: short(value), title: exact(value) });
      cell.style.background = css(value, most);
      cell.style.color = inkOn(value, most);
      if (start + i === winner) cell.className = 'winner';
      return cell;
    })));
  }
  return element('table', { className: 'grid' }, element('caption', { textContent: caption }), element('tbody', {}, ...rows));
}

function tiny(values, columns, most) {
  const canvas = element('canvas', { width: columns, height: Math.ceil(values.length / columns) });
  canvas.getContext('2d').putImageData(images(values, columns, canvas.height, 1, most), 0, 0);
  return canvas;
}

const verdict = (made) => element('p', { className: made.equal ? 'equal' : 'differs',
  textContent: made.equal ? 'Computed once more by this page in JavaScript: the same bits.' : 'Computed once more by this page: other bits!' });

function steps(made) {
  const body = element('tbody');
  const details = element('details', {}, element('summary', { textContent: `The sum in its order: the bias and ${made.terms.length} products` }));
  // 800 rows are made only for those who look at them.
  details.addEventListener('toggle', () => {
    if (!details.open || body.hasChildNodes()) return;
    body.append(row('bias', '', '', made.bias), ...made.terms.map((term, i) => row(i + 1, exact(term.x), exact(term.weight), term.sum)));
    details.append(element('div', { className: 'scroll' }, element('table', {},
      element('thead', {}, element('tr', {}, ...['', 'input', 'weight', 'sum so far'].map((text) => element('th', { scope: 'col', textContent: text })))), body)));
  });
  return details;
}

function row(...cells) {
  const [number, x, weight, sum] = cells;
  return element('tr', {}, ...[String(number), x, weight, exact(sum)].map((textContent) => element('td', { textContent })));
}

// The explanation of a value; `focus` is the input channel that is shown in numbers.
export function describe(made, focus, choose) {
  const { layer, channel, row: r, column: c, value, name } = made;
  const from = LAYERS[layer.from];
  if (layer.kind === 'input') {
    return [element('p', { className: 'total', textContent: `pixel ${made.pixel} of 255 at row ${r}, column ${c}: (${made.pixel} / 255 − 0.5) / 0.5 = ${exact(value)}` }), verdict(made)];
  }
  if (layer.kind === 'pool') {
    const text = made.winner === null
      ? 'No value is above zero: ReLU lets nothing through, the result is 0 and nobody wins.'
      : `The largest of four wins: ${exact(made.window[made.winner])}. ReLU lets it through.`;
    return [grid(made.window, 2, `2×2 window of ${from.title}, map ${channel}`, undefined, made.winner), element('p', { textContent: text }),
      element('p', { className: 'total', textContent: `max → ReLU → ${exact(value)}` }), verdict(made)];
  }
  const xs = made.terms.map((term) => term.x), weights = made.terms.map((term) => term.weight);
  const [mostX, mostWeight] = [largest(xs), largest(weights)];
  const parts = [];
  if (layer.kind === 'conv') {
    const of = (list, i) => list.slice(9 * i, 9 * i + 9);
    parts.push(element('div', { className: 'term' },
      grid(of(xs, focus), 3, from.channels > 1 ? `patch of map ${focus}` : 'patch', mostX), '×', grid(of(weights, focus), 3, 'kernel', mostWeight)));
    if (from.channels > 1) {
      const added = (i) => of(made.terms, i).reduce((sum, term) => sum + term.product, 0);
      parts.push(element('p', { className: 'hint', textContent: 'All 16 input maps: patch, kernel, and what they add. Choose one to see its numbers.' }),
        element('div', { className: 'tiny' }, ...Array.from({ length: from.channels }, (_, i) => {
          const button = element('button', { type: 'button', ariaPressed: String(i === focus), ariaLabel: `input map ${i} adds ${short(added(i))}` },
            tiny(of(xs, i), 3, mostX), tiny(of(weights, i), 3, mostWeight), short(added(i)));
          button.addEventListener('click', () => choose(i));
          return button;
        })));
    }
  } else {
    const products = made.terms.map((term) => term.product);
    const strongest = products.map((product, i) => [product, i]).sort(([a], [b]) => Math.abs(b) - Math.abs(a)).slice(0, 5);
    const columns = name === 'hidden' ? 40 : 24;
    parts.push(element('p', { className: 'hint', textContent: `${products.length} products of an input and a weight, as colours` }), tiny(products, columns, largest(products)),
      element('p', { className: 'hint', textContent: `The strongest: ${strongest.map(([product, i]) => `input ${i} adds ${short(product)}`).join(', ')}.` }));
    parts.at(-2).classList.add('products');
  }
  const sum = `bias ${exact(made.bias)} + products = ${exact(made.sum)}`;
  const relu = name === 'hidden' ? ` → ReLU → ${exact(value)}` : layer.kind === 'conv' ? ` → ReLU → ${exact(made.sum > 0 ? made.sum : 0)}` : '';
  parts.push(element('p', { className: 'total', textContent: sum + relu }), verdict(made), steps(made));
  return parts;
}

export const heading = ({ layer, name, channel, row: r, column: c, index }) => {
  if (name === 'logits') return `${layer.title}, digit ${index}`;
  if (name === 'hidden') return `${layer.title}, value ${index}`;
  return `${layer.title}${layer.channels > 1 ? `, map ${channel}` : ''}, row ${r}, column ${c}`;
};
