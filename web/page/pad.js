// Drawing: one kind of event for mouse, finger and pen. Strokes are kept, so that the last one can be taken back.

// Side of the picture that the network gets.
const SMALL = 112;

export class Pad {
  constructor(canvas, changed) {
    Object.assign(this, { canvas, changed, strokes: [], ground: null, active: null });
    this.context = canvas.getContext('2d', { willReadFrequently: true });
    const small = document.createElement('canvas');
    [small.width, small.height] = [SMALL, SMALL];
    this.small = small.getContext('2d', { willReadFrequently: true });
    this.small.imageSmoothingQuality = 'medium';
    canvas.addEventListener('pointerdown', (event) => this.begin(event));
    canvas.addEventListener('pointermove', (event) => this.move(event));
    for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, (event) => this.end(event));
    this.redraw();
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect(), { width, height } = this.canvas;
    // A pen's pressure is its width; a finger and a mouse have one width.
    const size = event.pointerType === 'pen' && event.pressure > 0 ? 7 + 14 * event.pressure : 14;
    return { x: (event.clientX - box.left) / box.width * width, y: (event.clientY - box.top) / box.height * height, size };
  }

  begin(event) {
    // A second finger draws nothing.
    if (event.button !== 0 || this.active !== null) return;
    this.active = event.pointerId;
    this.canvas.setPointerCapture(event.pointerId);
    this.strokes.push([]);
    this.add([event]);
  }

  move(event) {
    if (event.pointerId !== this.active) return;
    const events = event.getCoalescedEvents?.() ?? [];
    this.add(events.length > 0 ? events : [event]);
  }

  end(event) {
    if (event.pointerId === this.active) this.active = null;
  }

  add(events) {
    const stroke = this.strokes.at(-1);
    for (const event of events) {
      stroke.push(this.point(event));
      this.line(stroke, stroke.length - 1);
    }
    this.changed();
  }

  line(stroke, i) {
    const { context } = this, to = stroke[i], from = stroke[i - 1] ?? to;
    context.lineCap = context.lineJoin = 'round';
    context.strokeStyle = '#000';
    context.lineWidth = to.size;
    context.beginPath();
    context.moveTo(from.x, from.y);
    // A point by itself is a line too.
    context.lineTo(to.x + 0.01, to.y);
    context.stroke();
  }

  redraw() {
    const { context, canvas } = this;
    context.fillStyle = '#fff';
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (this.ground) context.drawImage(this.ground, 0, 0, canvas.width, canvas.height);
    for (const stroke of this.strokes) stroke.forEach((_, i) => this.line(stroke, i));
  }

  get isEmpty() {
    return this.strokes.length === 0 && !this.ground;
  }

  undo() {
    if (this.strokes.pop() === undefined) this.ground = null;
    this.redraw();
    this.changed();
  }

  clear() {
    this.show(null);
    this.changed();
  }

  // A picture to draw on, or none.
  show(ground) {
    this.strokes = [];
    this.ground = ground;
    this.redraw();
  }

  // What is drawn, smaller: a digit is prepared in half the time, and has more than enough of the 28×28 pixels.
  picture() {
    const { small } = this;
    small.drawImage(this.canvas, 0, 0, SMALL, SMALL);
    return small.getImageData(0, 0, SMALL, SMALL);
  }
}
