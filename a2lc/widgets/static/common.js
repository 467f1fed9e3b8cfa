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

// Messages to the kernel, one at a time, each about the view that is shown; what is sent meanwhile is dropped.
function conversation(model, el, status) {
  let waiting = 0;
  const send = (message) => {
    if (waiting) return;
    el.setAttribute("aria-busy", "true");
    waiting = setTimeout(() => {
      status.textContent = "No reply from the kernel. If it is busy, wait; if it is gone, run this cell again: what was "
        + "answered is on disk.";
    }, 5000);
    model.send({ ...message, view: model.get("replies") });
  };
  const settled = () => {
    clearTimeout(waiting);
    waiting = 0;
    el.removeAttribute("aria-busy");
  };
  return { send, settled };
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
