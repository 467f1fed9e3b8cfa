// Cutting a mask in pieces: the kernel cuts, the page asks what each piece is. A click chooses a piece, a drag draws a
// line to cut along, ↑ and ↓ ask for finer and coarser pieces.

// `canvas` shows the mask close up; `tell(message)` sends one that turns; `name(label)` is what a label is called;
// `redraw` shows what is there without cutting; `done(labels, number)` takes the labels of all pieces,
// and the number of the cutting that they are of.
function cutter({ canvas, longest, tell, refuse, name, redraw, words, done }) {
  let of = null, card = null, count = 0, labels = [], given = [], at = 0; // the question; its pieces; in which order they were named
  const on = () => of !== null;
  const open = () => labels.findIndex((label) => label === null);
  const draw = (line = []) => {
    if (!card) return;
    const looks = { outline: true, tint: null, neighbours: (number) => (labels[number - 1] === null ? "?" : name(labels[number - 1])), all: count };
    paint(canvas, card, longest, at + 1, looks);
    const context = canvas.getContext("2d");
    for (const [width, colour] of [[5, "black"], [2, "white"]]) {
      [context.lineWidth, context.strokeStyle] = [width, colour];
      context.beginPath();
      line.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](x * canvas.width, y * canvas.height));
      context.stroke();
    }
  };
  const point = (place) => { at = (place + count) % count; draw(); words(); };
  const give = (label) => {
    [labels[at], given] = [label, [...given.filter((place) => place !== at), at]];
    if (open() < 0) return done([...labels], card.number);
    point(open());
  };
  const leave = () => tell({ do: "whole" });
  const again = (more) => tell({ do: "cut", about: [of.image, of.mask_id], ...more });
  // Whether a key or button is ours while a mask is cut.
  function act(what, label) {
    if (!on()) return false;
    if (!card) refuse("Not taken: the pieces were not there yet.");
    else if (label !== undefined) give(label);
    else if (what === "undo" && given.length) {
      labels[at = given.pop()] = null;
      point(at);
    } else if (what === "undo" || what === "cut") leave();
    else if (what === "back" || what === "on") point(at + (what === "on" ? 1 : -1));
    else refuse("Say what each piece is, by a key of a class; Esc leaves the mask whole.");
    return true;
  }
  function key(pressed) {
    if (!on() || !["Escape", "ArrowUp", "ArrowDown"].includes(pressed)) return false;
    if (pressed === "Escape") leave();
    else again({ count: Math.round(pressed === "ArrowUp" ? count * 1.7 : count / 1.7) });
    return true;
  }
  // What the view says: the question whose mask is cut, and in how many pieces.
  function show(question, said) {
    const [number, pieces] = said ?? [];
    if (!pieces || !question) {
      if (on()) { [of, card] = [null, null]; redraw(); }
      return;
    }
    of = question;
    if (card?.number !== number) card = null; // its pieces are on their way
    if (!card) return;
    if (card.fresh) {
      [count, labels, given, at] = [pieces, Array(pieces).fill(null), [], 0];
      card.fresh = false;
    }
    draw();
  }
  async function arrived(number, buffers) { card = { ...(await piece(buffers[0], buffers[1])), number, fresh: true }; }

  // ---- by mouse
  const share = ({ clientX, clientY }) => {
    const box = canvas.getBoundingClientRect(), scale = Math.min(box.width / canvas.width, box.height / canvas.height);
    return [(clientX - box.left) / (scale * canvas.width), (clientY - box.top) / (scale * canvas.height)];
  };
  const pieceAt = ([x, y]) => card.pixels[card.width * Math.min(card.height - 1, Math.floor(y * card.height)) + Math.min(card.width - 1, Math.floor(x * card.width))];
  let line = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (!on() || !card || event.button) return;
    event.stopPropagation(); // no panning
    canvas.setPointerCapture(event.pointerId);
    line = [share(event)];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!line) return;
    line.push(share(event));
    draw(line);
  });
  canvas.addEventListener("pointerup", () => {
    if (!line) return;
    const drawn = line.filter((_, i) => i === line.length - 1 || i % Math.ceil(line.length / 200) === 0), [x, y] = line[0];
    const long = line.some(([a, b]) => Math.hypot((a - x) * canvas.width, (b - y) * canvas.height) > 8);
    line = null;
    if (long) again({ line: drawn });
    else if (pieceAt([x, y])) point(pieceAt([x, y]) - 1);
  });
  const told = () => (card ? `Piece ${at + 1} of ${count}: what is this? ↑ finer, ↓ coarser, drag to cut along a line, Esc leaves.` : "");
  return { on, ready: () => card !== null, act, key, show, arrived, told, draw };
}
