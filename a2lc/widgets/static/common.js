// What all widgets share.

function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// JupyterLab must not take arrow keys and letters from our controls: its own shortcuts would move or delete cells.
function keepKeys(box) {
  if (!box || box.dataset.keysKept) return;
  box.dataset.keysKept = "true";
  box.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.altKey && !event.metaKey && !(event.shiftKey && event.key === "Enter")) {
      event.stopPropagation();
    }
  });
}

// Shows JPEG bytes in an image; resolves when they can be seen, also at once where they are shown already.
function imageOf(image) {
  let url = null, shown = null;
  return (bytes) => new Promise((resolve) => {
    if (bytes && bytes === shown) return resolve();
    const old = url;
    [shown, url] = [bytes, bytes?.byteLength ? URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })) : null];
    image.onload = image.onerror = () => { if (old) URL.revokeObjectURL(old); resolve(); };
    if (url) image.src = url;
    else { if (old) URL.revokeObjectURL(old); resolve(); }
  });
}

// Numbers that the kernel has packed: width, height, a number for each pixel, and what follows.
async function unpacked(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const numbers = new Uint16Array(await new Response(stream).arrayBuffer());
  const [width, height] = numbers;
  return { width, height, pixels: numbers.subarray(2, 2 + width * height), line: numbers.subarray(2 + width * height) };
}

// A key by what it means: Shift is read from the event, for Caps Lock is no decision; digits without Shift wherever a
// keyboard has them (AZERTY); of a key that waits for another one (dead keys, input methods), what is printed on it.
function meant(event) {
  const [, letter] = /^Key([A-Z])$/.exec(event.code) ?? [], [, digit] = /^Digit(\d)$/.exec(event.code) ?? [];
  if (digit && !event.shiftKey) return digit;
  const key = ["Dead", "Process", "Unidentified"].includes(event.key) ? letter ?? event.key : event.key;
  if (key.length !== 1) return key;
  return event.shiftKey ? key.toUpperCase() : key.toLowerCase();
}

// Messages to the kernel: each has a number and waits until the kernel has heard it, which hears them in this order and
// each once; those without a reply after five seconds are sent again, for a connection may have been lost. After one that
// `turns` nobody knows what is asked next: what is pressed meanwhile is held, in order. `data-waiting` of the stage
// counts both, `data-refused` what could not be taken, which is said in the line `refused`.
function conversation(model, el, stage, status, refused) {
  const client = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  const waiting = new Map(), held = [];
  let last = 0, timer = 0, releasing = false;
  const turning = () => [...waiting.values()].some(({ turns }) => turns);
  const late = () => {
    status.textContent = `No reply from the kernel to ${waiting.size === 1 ? "what was" : `${waiting.size} keys that were`} `
      + "pressed last. If it is busy, wait; if it is gone, run the notebook again: what was answered is on disk.";
    try {
      for (const { whole } of waiting.values()) model.send(whole);
    } catch { /* the kernel is gone */ }
    timer = setTimeout(late, 5000);
  };
  const told = () => {
    stage.dataset.waiting = waiting.size + held.length;
    clearTimeout(timer);
    timer = waiting.size ? setTimeout(late, 5000) : 0;
    if (turning()) el.setAttribute("aria-busy", "true"); else el.removeAttribute("aria-busy");
  };
  const refuse = (words) => {
    refused.textContent = words;
    stage.dataset.refused = Number(stage.dataset.refused) + 1;
  };
  const send = (message, turns = false) => {
    const whole = { ...message, client, id: ++last, view: model.get("replies") };
    try {
      model.send(whole);
    } catch {
      last--;
      return refuse("The kernel is gone, so this was not taken. Run the notebook again: what was answered is on disk.");
    }
    refused.textContent = "";
    waiting.set(last, { ...message, turns, whole });
    told();
  };
  const hold = (act) => { held.push(act); told(); };
  const heard = () => {
    const number = model.get("heard")[client] ?? 0;
    for (const id of [...waiting.keys()]) if (id <= number) waiting.delete(id);
    told();
  };
  const release = (ready) => {
    if (releasing) return; // what is released draws, too
    releasing = true; // it goes before all that are still held
    try {
      while (held.length && !turning() && ready()) held.shift()();
    } finally {
      releasing = false;
    }
    told();
  };
  stage.dataset.refused = 0;
  told();
  return { send, hold, heard, release, refuse, turning, waiting, holds: () => held.length > 0 && !releasing, end: () => clearTimeout(timer) };
}

// A picture in a pane: while the pane or what is around it has the focus the wheel zooms where the pointer is, dragging
// pans, a double click shows all again. A drag is no click.
function zoomable(pane, content, focused) {
  let scale = 1, x = 0, y = 0, from = null, dragged = false;
  const size = () => [content.offsetWidth, content.offsetHeight];
  function apply() {
    const [w, h] = size();
    [x, y] = [Math.min(0, Math.max(w * (1 - scale), x)), Math.min(0, Math.max(h * (1 - scale), y))];
    content.style.transformOrigin = "0 0";
    content.style.transform = scale === 1 ? "" : `translate(${x}px, ${y}px) scale(${scale})`;
    pane.classList.toggle("a2lc-zoomed", scale > 1);
    pane.dataset.zoom = scale.toFixed(2);
  }
  function around(next, left, top) {
    next = Math.max(1, Math.min(16, next));
    [x, y, scale] = [left - ((left - x) * next) / scale, top - ((top - y) * next) / scale, next];
    apply();
  }
  const at = ({ clientX, clientY }) => {
    const box = pane.getBoundingClientRect();
    return [clientX - box.left - pane.clientLeft, clientY - box.top - pane.clientTop];
  };
  pane.addEventListener("wheel", (event) => {
    if (!focused().contains(document.activeElement)) return; // the page scrolls
    event.preventDefault();
    around(scale * 2 ** (-event.deltaY / 250), ...at(event));
  }, { passive: false });
  pane.addEventListener("pointerdown", (event) => {
    dragged = false;
    from = event.button === 0 && scale > 1 ? [event.clientX, event.clientY, x, y] : null;
  });
  pane.addEventListener("pointermove", (event) => {
    if (!from || !(event.buttons & 1)) return;
    const [dx, dy] = [event.clientX - from[0], event.clientY - from[1]];
    dragged ||= Math.hypot(dx, dy) > 4;
    [x, y] = [from[2] + dx, from[3] + dy];
    apply();
  });
  pane.addEventListener("click", (event) => { if (dragged) event.stopPropagation(); }, true);
  pane.addEventListener("dblclick", () => around(1, 0, 0));
  content.addEventListener("dragstart", (event) => event.preventDefault());
  return {
    scale: () => scale,
    reset: () => around(1, 0, 0),
    centre: (next, left, top) => { // shares of the content
      const [w, h] = size();
      scale = next;
      [x, y] = [w / 2 - left * w * scale, h / 2 - top * h * scale];
      apply();
    },
  };
}

// What a key is called on its cap.
const CAPS = { Enter: "Enter", ArrowLeft: "←", ArrowRight: "→", PageUp: "PgUp", PageDown: "PgDn" };
const capOf = (key) => CAPS[key] ?? (key === key.toLowerCase() ? key.toUpperCase() : `⇧${key}`);

// A button with its key on it. By mouse the focus stays where keys are heard: a key must not press the button again.
function keyButton(key, words, style, stage, act) {
  const name = node("span", {}, words);
  const made = node("button", { type: "button", class: `a2lc-key ${style}` }, ...(key ? [node("kbd", {}, capOf(key))] : []), name);
  made.addEventListener("click", (event) => {
    if (event.detail) stage.focus({ preventScroll: true });
    act();
  });
  return { made, name };
}
