// The maps of a layer in one canvas, side by side; a value of them can be chosen by pointer or keyboard.

import { LAYERS } from './network.js';
import { enlarge, images, largest, mark } from './paint.js';

export class Maps {
  // `columns` maps in a row, each value `scale` pixels wide.
  constructor(canvas, name, columns, scale, choose) {
    Object.assign(this, { canvas, name, columns, scale, choose, layer: LAYERS[name], chosen: null, marked: [], read: null, isVisible: false });
    const { layer } = this, rows = Math.ceil(layer.channels / columns);
    this.small = document.createElement('canvas');
    [this.small.width, this.small.height] = [columns * (layer.width + 1) - 1, rows * (layer.height + 1) - 1];
    [canvas.width, canvas.height] = [this.small.width * scale, this.small.height * scale];
    // What nobody sees is painted when it comes into view.
    new IntersectionObserver(([{ isIntersecting }]) => {
      this.isVisible = isIntersecting;
      if (isIntersecting) this.paint();
    }).observe(canvas);
    canvas.addEventListener('pointerdown', (event) => this.point(event));
    canvas.addEventListener('pointermove', (event) => event.buttons !== 0 && this.point(event));
    canvas.addEventListener('keydown', (event) => this.key(event));
  }

  corner(channel) {
    const { columns, layer, scale } = this;
    return [(channel % columns) * (layer.width + 1) * scale, Math.floor(channel / columns) * (layer.height + 1) * scale];
  }

  point(event) {
    const { canvas, layer, columns, scale } = this, box = canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * canvas.width / scale, y = (event.clientY - box.top) / box.height * canvas.height / scale;
    const [across, down] = [Math.floor(x / (layer.width + 1)), Math.floor(y / (layer.height + 1))];
    const channel = Math.min(down * columns + across, layer.channels - 1);
    if (across >= columns || channel < 0) return;
    const within = (value, size) => Math.max(0, Math.min(size - 1, Math.floor(value)));
    this.choose(this.name, channel, within(y - down * (layer.height + 1), layer.height), within(x - across * (layer.width + 1), layer.width));
  }

  key(event) {
    const { layer } = this;
    let { channel, row, column } = this.chosen ?? { channel: 0, row: 0, column: 0 };
    const moves = {
      ArrowLeft: () => { column -= 1; }, ArrowRight: () => { column += 1; }, ArrowUp: () => { row -= 1; }, ArrowDown: () => { row += 1; },
      PageUp: () => { channel -= 1; }, PageDown: () => { channel += 1; }, Home: () => { row = column = 0; },
      End: () => { row = layer.height - 1; column = layer.width - 1; }, Enter: () => {}, ' ': () => {},
    };
    if (!moves[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    moves[event.key]();
    const within = (value, size) => Math.max(0, Math.min(size - 1, value));
    this.choose(this.name, within(channel, layer.channels), within(row, layer.height), within(column, layer.width));
  }

  // `read` gives the layer's values, whenever they are painted.
  draw(read) {
    this.read = read;
    if (this.isVisible) this.paint();
  }

  paint() {
    if (!this.read) return;
    const { canvas, layer, small, columns } = this, values = this.read();
    enlarge(images(values, layer.width, layer.height, columns, largest(values)), small, canvas);
    if (this.chosen) this.frame({ ...this.chosen, width: 1, height: 1 });
    for (const patch of this.marked) this.frame(patch);
  }

  // A frame around values, bright on dark, so that it is seen on every colour.
  frame({ channel, row, column, width, height }) {
    const { canvas, scale } = this, context = canvas.getContext('2d'), [x, y] = this.corner(channel), line = Math.max(2, scale / 3);
    const [ink, halo] = mark();
    for (const [colour, thickness] of [[halo, 3 * line], [ink, line]]) {
      [context.strokeStyle, context.lineWidth] = [colour, thickness];
      context.strokeRect(x + column * scale, y + row * scale, width * scale, height * scale);
    }
  }
}
