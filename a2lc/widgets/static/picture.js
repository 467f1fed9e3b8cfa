// The picture of a browser of masks or of sentences: shows the bytes it is given and what lies under the pointer, reports clicks and keys.
// Nothing is decided here: the kernel answers every message with a new view and a higher `answered`.

const KEYS = new Set([
  "ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp", "Escape", "+", "-",
  ..."0123456789npiflgdbwu",
]);

function render({ model, el }) {
  const help = node("p", { class: "a2lc-keys", id: `a2lc-keys-${Math.random().toString(36).slice(2)}` });
  const key = (name) => node("kbd", {}, name);
  const round = node("input", { type: "range", min: 0, step: 1, "aria-label": "Round" });
  const roundText = node("output", { class: "a2lc-round-text" });
  const roundRow = node("label", { class: "a2lc-round" }, "Round ", round, roundText);
  const image = node("img", { alt: "" });
  const canvas = node("canvas", { "aria-hidden": "true" });
  const tip = node("div", { class: "a2lc-tip", "aria-hidden": "true" });
  const paper = node("div", { class: "a2lc-paper" }, image, canvas);
  const stage = node("div", {
    class: "a2lc-stage", tabindex: "0", role: "application", "aria-roledescription": "picture of masks",
    "aria-describedby": help.id,
  }, paper);
  const status = node("p", { class: "a2lc-status", role: "status", "aria-live": "polite" });
  help.append("On the picture:  ");
  for (const [keys, words] of model.get("told")) {
    for (const name of keys.split(" ")) help.append(name === "…" ? name : key(name));
    help.append(` ${words}   `);
  }
  el.classList.add("a2lc-picture");
  el.append(roundRow, node("div", { class: "a2lc-frame" }, stage, tip), status, help);

  let naming = false; // whether the next key says what the selected mask is
  let map = null, under = -1, waiting = false, url = null, shown = null, hovered = null;
  const send = (message) => { waiting = true; model.send(message); };

  function showPicture() {
    const bytes = model.get("picture");
    const done = () => {
      keepKeys(el.closest(".a2lc-browser"));
      stage.dataset.answered = model.get("answered");
    };
    if (bytes === shown || !bytes?.byteLength) return done();
    const old = url;
    shown = bytes;
    url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
    image.onload = () => { if (old) URL.revokeObjectURL(old); done(); };
    image.src = url;
  }
  async function showHover() {
    const bytes = model.get("hover");
    if (bytes === hovered || !bytes?.byteLength) return;
    point(-1);
    [map, hovered] = [null, bytes];
    const found = await unpacked(bytes);
    if (bytes !== model.get("hover")) return; // a later view has come
    [map, canvas.width, canvas.height] = [found, found.width, found.height];
  }
  function showWords() {
    stage.setAttribute("aria-label", model.get("alt"));
    image.alt = model.get("alt");
    status.textContent = naming && model.get("naming") ? `What is it? ${model.get("naming")}` : model.get("status");
    round.max = model.get("rounds");
    round.value = model.get("round");
    round.disabled = model.get("rounds") < 1;
    roundText.textContent = `${model.get("round")} of ${model.get("rounds")}`;
    round.setAttribute("aria-valuetext", `after round ${roundText.textContent}`);
  }
  function showView() {
    waiting = false;
    showWords();
    showPicture();
    showHover();
    if (naming) askName();
  }

  // ---- zoom: by wheel, or twice the size around the selected mask or the pointer
  let last = [0.5, 0.5];
  const zoom = zoomable(stage, paper, () => stage);
  function toggleZoom() {
    if (zoom.scale() > 1) zoom.reset();
    else zoom.centre(2, ...(model.get("focus_at").length ? model.get("focus_at") : last));
  }

  // ---- pointer
  function at(event) {
    const box = image.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }
  function point(position) {
    under = position;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (position < 1 || !map) { tip.style.display = "none"; return; }
    const light = context.createImageData(map.width, map.height);
    for (let i = 0; i < map.pixels.length; i++) if (map.pixels[i] === position) light.data.set([255, 255, 255, 90], 4 * i);
    context.putImageData(light, 0, 0);
    tip.textContent = model.get("lines")[map.line[position - 1]];
    tip.style.display = "block";
  }
  stage.addEventListener("pointermove", (event) => {
    if (!map) return;
    last = at(event);
    const [x, y] = [Math.floor(last[0] * map.width), Math.floor(last[1] * map.height)];
    const inside = x >= 0 && y >= 0 && x < map.width && y < map.height;
    const position = inside ? map.pixels[y * map.width + x] : 0;
    if (position !== under) point(position);
    const frame = stage.parentElement.getBoundingClientRect();
    tip.style.left = `${Math.max(0, Math.min(event.clientX - frame.left + 14, frame.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${event.clientY - frame.top + 18}px`;
  });
  stage.addEventListener("pointerleave", () => point(-1));
  paper.addEventListener("click", (event) => {
    stage.focus({ preventScroll: true });
    const [x, y] = at(event);
    if (x >= 0 && y >= 0 && x < 1 && y < 1) send({ type: "click", x, y });
  });

  // ---- keys
  function askName() {
    naming = model.get("naming") !== "";
    if (naming) showWords();
    else send({ type: "key", key: "c" }); // the kernel says why not
  }
  function name(key) {
    naming = false;
    if (key === "Escape") showWords();
    else send({ type: "name", key });
  }
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.key === "Tab") return;
    if (naming && (event.key.length === 1 || event.key === "Enter" || event.key === "Escape")) {
      event.preventDefault();
      return name(event.key);
    }
    if (event.key.toLowerCase() === "c") {
      event.preventDefault();
      naming = true;
      if (!waiting) askName(); // else when the view has come
      return;
    }
    const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (pressed === "z") toggleZoom();
    if (pressed === "z" || KEYS.has(pressed)) event.preventDefault();
    if (KEYS.has(pressed) && !(event.repeat && waiting)) send({ type: "key", key: pressed });
  });
  round.addEventListener("input", () => { roundText.textContent = `${round.value} of ${round.max}`; });
  round.addEventListener("change", () => send({ type: "round", round: Number(round.value) }));

  model.on("change:answered", showView); // all that belongs to a view comes in one message
  model.on("change:status", showWords); // also in between
  showView();
  return () => {
    model.off("change:answered", showView);
    model.off("change:status", showWords);
    if (url) URL.revokeObjectURL(url);
  };
}

export default { render };
