// A curve over the epochs of a run, and axes.

// `series`: lists of [epoch, value], each with its colour's name; `unit` '%' has a scale from 0 to 100.
export function curve(canvas, title, epochs, unit, ...series) {
  const context = canvas.getContext('2d'), { width, height } = canvas, style = getComputedStyle(canvas);
  const percent = unit === '%', values = series.flatMap(({ points }) => points.map(([, value]) => value));
  const top = percent ? 1 : Math.max(...(values.length > 0 ? values : [2.4])) * 1.05 || 1;
  const [left, bottom] = [44, 20], x = (at) => left + at / epochs * (width - left - 8), y = (value) => 8 + (1 - value / top) * (height - bottom - 8);
  const text = (value) => (percent ? `${100 * value} %` : value.toFixed(top < 1 ? 2 : 1));
  context.clearRect(0, 0, width, height);
  [context.fillStyle, context.strokeStyle, context.font, context.lineWidth] = [style.color, style.color, '12px system-ui, sans-serif', 1];
  for (const share of [0, 0.5, 1]) {
    context.globalAlpha = 0.35;
    context.beginPath(); context.moveTo(left, y(share * top)); context.lineTo(width - 8, y(share * top)); context.stroke();
    context.globalAlpha = 1;
    context.fillText(text(share * top), 4, y(share * top) + 4);
  }
  context.fillText('epoch', left, height - 4);
  context.fillText(String(epochs), width - 8 - context.measureText(String(epochs)).width, height - 4);
  context.lineWidth = 2;
  for (const { points, colour, dash } of series) {
    context.strokeStyle = context.fillStyle = style.getPropertyValue(colour);
    context.setLineDash(dash ?? []);
    context.beginPath();
    for (const [at, value] of points) context.lineTo(x(at), y(value));
    context.stroke();
    // One point is no line.
    if (points.length === 1) context.fillRect(x(points[0][0]) - 2, y(points[0][1]) - 2, 4, 4);
  }
  context.setLineDash([]);
  const last = series.at(-1)?.points.at(-1)?.[1];
  const now = last === undefined ? '' : `, now ${percent ? `${(100 * last).toFixed(2)} %` : last.toFixed(4)}`;
  canvas.setAttribute('aria-label', `${title} over ${epochs} epochs${now}`);
}
