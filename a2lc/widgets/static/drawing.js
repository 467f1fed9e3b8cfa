// Draws questions: a picture, which mask each of its pixels is of, and what is drawn on it.

async function piece(jpeg, map) {
  const [bitmap, found] = await Promise.all([createImageBitmap(new Blob([jpeg], { type: "image/jpeg" })), unpacked(map)]);
  return { bitmap, ...found };
}

// The picture on a canvas whose longest side has so many pixels. `at` is the number of the mask's pixels; looks are
// `outline` (a white line with a black rim, all else darker), `tint` ([r, g, b] or null), and `neighbours` (number ->
// name, or null; those beside the mask, or 1 to `all`); `frame`, shares of the picture, is drawn around what is close up.
function paint(canvas, { bitmap, width, height, pixels }, longest, at, { outline, tint, neighbours, all = 0 }, frame = null) {
  const scale = longest / Math.max(width, height);
  const w = Math.max(1, Math.round(width * scale)), h = Math.max(1, Math.round(height * scale));
  [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0, w, h);
  const of = new Uint16Array(w * h);
  const columns = Int32Array.from({ length: w }, (_, x) => Math.min(width - 1, Math.floor(((x + 0.5) * width) / w)));
  for (let y = 0, i = 0; y < h; y++) {
    const row = width * Math.min(height - 1, Math.floor(((y + 0.5) * height) / h));
    for (let x = 0; x < w; x++, i++) of[i] = pixels[row + columns[x]];
  }
  const layer = new ImageData(w, h), ink = new Uint32Array(layer.data.buffer); // AABBGGRR
  const edge = [], beside = new Map(Array.from({ length: all }, (_, i) => [i + 1, [0, 0, 0]])), DARK = 0x66000000, BLACK = 0xff000000, WHITE = 0xffffffff;
  const inside = tint ? ((115 << 24) | (tint[2] << 16) | (tint[1] << 8) | tint[0]) >>> 0 : 0;
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      const here = of[i], right = x + 1 < w ? of[i + 1] : 0, below = y + 1 < h ? of[i + w] : 0;
      ink[i] = here === at ? inside : outline ? DARK : 0;
      if (neighbours && (here !== right || here !== below)) ink[i] = 0xb0ffffff;
      if ((here === at) !== (right === at) || (here === at) !== (below === at)) {
        edge.push(i);
        for (const other of [here, right, below]) if (other && other !== at) beside.set(other, [0, 0, 0]);
      } else if (here === at && (x === 0 || y === 0)) edge.push(i);
    }
  }
  if (outline) {
    const around = (reach, colour) => {
      for (const i of edge) {
        const x = i % w, y = (i - x) / w;
        for (let dy = -reach; dy <= reach; dy++) {
          for (let dx = Math.abs(dy) - reach; dx <= reach - Math.abs(dy); dx++) {
            if (x + dx >= 0 && x + dx < w && y + dy >= 0 && y + dy < h) ink[i + dy * w + dx] = colour;
          }
        }
      }
    };
    around(2, BLACK);
    around(1, WHITE);
  }
  const over = new OffscreenCanvas(w, h);
  over.getContext("2d").putImageData(layer, 0, 0);
  context.drawImage(over, 0, 0);
  if (frame) {
    const [x, y, width, height] = [frame[0] * w, frame[1] * h, (frame[2] - frame[0]) * w, (frame[3] - frame[1]) * h];
    for (const [line, colour] of [[3, "black"], [1, "white"]]) {
      [context.lineWidth, context.strokeStyle] = [line, colour];
      context.strokeRect(x + 0.5, y + 0.5, Math.max(1, width - 1), Math.max(1, height - 1));
    }
  }
  if (!neighbours) return;
  for (let i = 0; i < of.length; i++) {
    const sums = beside.get(of[i]);
    if (sums) { sums[0] += i % w; sums[1] += Math.floor(i / w); sums[2] += 1; }
  }
  [context.font, context.textAlign, context.lineWidth, context.strokeStyle] = ["600 15px sans-serif", "center", 4, "black"];
  [context.fillStyle, context.lineJoin] = ["white", "round"];
  for (const [number, [x, y, count]] of beside) {
    const name = neighbours(number), half = context.measureText(name).width / 2 + 3;
    const [left, top] = [Math.max(half, Math.min(w - half, x / count)), Math.max(16, Math.min(h - 6, y / count + 5))];
    context.strokeText(name, left, top);
    context.fillText(name, left, top);
  }
}
