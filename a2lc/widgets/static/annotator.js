// The Annotator: shows the questions and reports what is pressed. Nothing is decided here. The kernel says which questions
// come next and keeps that order, so the page fetches their pictures ahead and shows the next question at once; an answer
// goes to the question that was shown, whatever has come meanwhile. Looks (H, T, N) are the page's alone.

const LONGEST = [900, 480], FETCHES = 2, KEPT = 40, PATIENCE = 20_000; // pixels; cards asked for at a time; in memory; ms
const LOOKS = ["outline", "tint", "neighbours"];

function render({ model, el }) {
  const keys = model.get("key_of"), classes = model.get("classes");
  const title = node("strong", { class: "a2lc-title" });
  const counts = node("span", { class: "a2lc-counts" });
  const bar = node("progress", { "aria-label": "Masks answered or skipped" });
  const asleep = node("span", { class: "a2lc-asleep" }, "Click here to answer by keyboard");
  const pictures = ["In its image", "Close up"].map((words) => {
    const canvas = node("canvas", { role: "img", "aria-label": "" });
    return { canvas, figure: node("figure", {}, node("div", { class: "a2lc-pane" }, canvas), node("figcaption", {}, words)) };
  });
  const grid = node("div", { class: "a2lc-grid" });
  const question = node("p", { class: "a2lc-question" });
  const sees = node("p", { class: "a2lc-sees" });
  const stage = node("div", {
    class: "a2lc-stage a2lc-empty", tabindex: "0", role: "application", "aria-roledescription": "question about a mask",
  }, node("div", { class: "a2lc-pictures" }, ...pictures.map(({ figure }) => figure)), grid, question, sees);
  const status = node("p", { class: "a2lc-status", role: "status", "aria-live": "polite" });
  const refused = node("p", { class: "a2lc-refused", role: "status", "aria-live": "assertive" });
  const outlook = node("p", { class: "a2lc-sees a2lc-outlook" });
  const notes = node("p", { class: "a2lc-note" });

  const talk = conversation(model, el, stage, status, refused);
  const zooms = pictures.map(({ canvas }) => zoomable(canvas.parentElement, canvas, () => el));
  const button = (what, key, words, style = "") => keyButton(key, words, style, stage, () => act(what));
  const confirm = button("confirm", keys.confirm, "Yes", "a2lc-confirm");
  const answers = [
    confirm, button("void", keys.void, "No class, or cannot tell"),
    button("void image", keys["void image"], "No label of this image is of use"),
    button("mixed mask", keys["mixed mask"], "Several classes in it"), button("skip", keys.skip, "Skip"),
  ];
  const moves = [button("undo", keys.undo, "Undo"), button("back", keys.back, "Previous"), button("on", keys.on, "Next")];
  const looks = [
    button("outline", keys.outline, "Outline"), button("tint", keys.tint, "Tint"),
    button("neighbours", keys.neighbours, "Neighbours"),
  ];
  const alike = button("alike", keys.alike, "Look-alikes"), cut = button("cut", keys.cut, "Cut");
  const ofClass = classes.map(({ name, key, colour }, at) => {
    const { made, name: words } = button(at, key, name, "a2lc-class-key");
    const swatch = node("span", { class: "a2lc-chip", "aria-hidden": "true" });
    swatch.style.background = colour;
    words.before(swatch);
    const mark = node("span", { class: "a2lc-mark" });
    made.append(mark);
    made.title = name; // of long ones two lines are shown
    return { made, mark };
  });
  const best = [1, 2, 3].map((place) => button(`best ${place}`, keys[`best ${place}`], "", "a2lc-best"));
  const find = node("input", { type: "search", class: "a2lc-find", "aria-label": "Find a class by name", placeholder: `${keys.find} find a class` });
  const enough = button("enough", "", "Enough for this round");
  const row = (label, buttons) => node("div", { class: "a2lc-actions", role: "group", "aria-label": label },
    ...buttons.map(({ made }) => made));
  el.classList.add("a2lc-widget", "a2lc-annotator");
  el.append(
    node("div", { class: "a2lc-head" }, title, bar, counts, asleep), outlook,
    node("div", { class: "a2lc-desk" }, node("div", {}, stage, status, refused, notes), node("div", {},
      row("Answers", answers), row("What the model sees", best), find,
      node("div", { class: "a2lc-classes", role: "group", "aria-label": "It is" }, ...ofClass.map(({ made }) => made)))),
    row("Other questions and looks", [...moves, alike, cut, ...looks, enough]),
  );
  keepKeys(el);

  // ---- which question is shown
  const idOf = ({ image, mask_id }) => `${mask_id} ${image}`;
  const settles = (message, { image, mask_id }) => message.of?.[0] === image && (message.of[1] === mask_id || message.do === "void image");
  const answered = () => [...talk.waiting.values()].filter(({ of }) => of);
  function plan() {
    const { query, ahead } = model.get("view"), said = answered();
    return (query ? [query, ...ahead] : []).filter((one) => !said.some((message) => settles(message, one)));
  }
  let shown = null, since = 0, behind = true; // the question, since when; whether it is no longer the one to be answered
  const look = { outline: true, tint: false, neighbours: false };

  // ---- pictures, fetched and decoded ahead
  const cards = new Map(), scenes = new Map(), asked = new Map(); // since when
  function fetchAhead() {
    for (const [id, since] of asked) if (performance.now() - since > PATIENCE) asked.delete(id); // a connection was lost
    for (const one of talk.turning() ? [] : [...plan().slice(0, 1), ...model.get("view").group, ...plan().slice(1)]) {
      if (asked.size >= FETCHES) return;
      const id = idOf(one);
      if (cards.has(id) || asked.has(id)) continue;
      asked.set(id, performance.now());
      model.send({ want: [one.image, one.mask_id], scene: !scenes.has(one.image) });
    }
  }
  async function arrived(message, buffers) {
    if (message.cut) {
      await cuts.arrived(message.number, buffers);
      return draw();
    }
    if (!message.card) return;
    const [image, mask_id] = message.card, id = idOf({ image, mask_id });
    const made = message.failed ? { note: message.failed } : { ...message, close: await piece(buffers[0], buffers[1]) };
    if (message.labels) scenes.set(image, { whole: await piece(buffers[2], buffers[3]), labels: message.labels });
    asked.delete(id);
    if (made.close && !scenes.has(image)) return fetchAhead(); // it has been given up meanwhile: asked for again
    cards.set(id, made);
    const needed = new Set([...plan(), ...model.get("view").group, ...(shown ? [shown] : [])].flatMap((one) => [idOf(one), one.image]));
    for (const kept of [cards, scenes]) {
      for (const old of [...kept.keys()]) if (kept.size > KEPT && !needed.has(old)) kept.delete(old);
    }
    draw();
    fetchAhead();
  }

  // ---- drawing
  function paintAll() {
    const card = cards.get(idOf(shown)), scene = scenes.get(shown.image);
    stage.classList.toggle("a2lc-blind", !card.close);
    if (!card.close) return;
    const colour = classes[shown.label]?.colour ?? "#ffffff";
    const drawn = {
      outline: look.outline, tint: look.tint ? [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)) : null,
      neighbours: look.neighbours ? (number) => classes[scene.labels[number - 1]]?.name ?? "void" : null,
    };
    paint(pictures[0].canvas, scene.whole, LONGEST[0], card.at, drawn, card.frame);
    paint(pictures[1].canvas, card.close, LONGEST[1], card.at, drawn);
    for (const [i, what] of LOOKS.entries()) looks[i].made.setAttribute("aria-pressed", String(look[what]));
    ["outlined in the whole image", "outlined, close up"].forEach((words, i) => {
      pictures[i].canvas.setAttribute("aria-label", `Mask ${shown.mask_id} of ${shown.image}, ${words}`);
    });
  }
  function draw() {
    const now = talk.turning() ? null : plan()[0];
    behind = now ? !cards.has(idOf(now)) : talk.turning() || answered().length > 0;
    stage.classList.toggle("a2lc-behind", behind);
    if (behind) return;
    const other = (now && idOf(now)) !== (shown && idOf(shown));
    shown = now ?? null;
    stage.classList.toggle("a2lc-empty", !shown);
    if (other && shown) {
      [look.outline, since] = [true, performance.now()];
      for (const zoom of zooms) zoom.reset();
      paintAll();
    }
    showGroup(now ? model.get("view").group : []);
    cuts.show(shown, model.get("view").cut);
    words();
    stage.dataset.shown = shown ? idOf(shown) : "";
    stage.dataset.replies = model.get("replies");
    talk.release(() => !behind);
  }

  // ---- a mask of several classes, in pieces
  const cuts = cutter({
    canvas: pictures[1].canvas, longest: LONGEST[1], refuse: talk.refuse, words: () => words(),
    tell: (message) => { talk.send(message, true); draw(); },
    name: (label) => (label === "void" ? "void" : classes[label].name),
    redraw: () => { if (shown) paintAll(); },
    done: (pieces, number) => { talk.send({ do: "pieces", pieces, number, seconds: (performance.now() - since) / 1000 }, true); draw(); },
  });
  const pieceLabel = (what) => {
    if (typeof what === "number" || what === "void") return what;
    if (what === "confirm") return shown.label < classes.length ? shown.label : "void";
    return String(what).startsWith("best ") ? shown.model[what.at(-1) - 1]?.[0] : undefined;
  };

  // ---- look-alikes: all chosen; a click or Space takes one out, one key answers the rest
  let group = [], tiles = [], at = 0;
  const chosen = () => group.filter((_, i) => tiles[i].getAttribute("aria-pressed") === "true");
  const point = (place) => {
    at = Math.max(0, Math.min(tiles.length - 1, place));
    tiles.forEach((tile, i) => tile.classList.toggle("a2lc-selected", i === at));
    tiles[at]?.scrollIntoView({ block: "nearest" });
  };
  const toggle = (place) => {
    const tile = tiles[place];
    tile.setAttribute("aria-pressed", String(tile.getAttribute("aria-pressed") !== "true"));
    point(place);
    words();
  };
  function showGroup(view) {
    stage.classList.toggle("a2lc-grouped", view.length > 0);
    if (view.map(idOf).join() !== group.map(idOf).join()) {
      group = view;
      tiles = view.map((one, i) => {
        const name = `Mask ${one.mask_id} of ${one.image}`;
        const made = node("button", { type: "button", class: "a2lc-like", "aria-pressed": "true", "aria-label": name, tabindex: "-1" },
          node("canvas", {}));
        made.addEventListener("click", () => { stage.focus({ preventScroll: true }); toggle(i); });
        return made;
      });
      grid.replaceChildren(...tiles);
      point(0);
    }
    tiles.forEach((tile, i) => {
      const card = cards.get(idOf(group[i]));
      if (!card?.close || tile.dataset.drawn) return;
      paint(tile.firstChild, card.close, 160, card.at, { outline: true, tint: null, neighbours: null });
      tile.dataset.drawn = "true";
    });
  }
  function inGroup(key) {
    const columns = Math.max(1, Math.floor(grid.clientWidth / (tiles[0].offsetWidth + 6)));
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    if (key === " ") toggle(at);
    else if (key in steps) point(at + steps[key]);
    else if (key === "Escape") act("alike");
    else return false;
    return true;
  }
  function words() {
    const view = model.get("view"), { round, total, left, closed } = view;
    title.textContent = shown ? `Round ${round}: mask ${shown.position + 1} of ${total}` : `Round ${round}`;
    notes.textContent = [...view.notes, (shown && cards.get(idOf(shown)).note) || ""].filter(Boolean).slice(0, 1).join(" ");
    notes.hidden = !notes.textContent;
    for (const { made } of [...answers, alike, cut, ...looks, ...ofClass, ...best]) made.disabled = !shown;
    for (const { made } of [...moves, enough]) made.disabled = false;
    best.forEach(({ made, name }, i) => {
      const [label, share] = shown?.model[i] ?? [];
      made.hidden = label === undefined;
      name.textContent = label === undefined ? "" : `${classes[label].name} ${Math.round(100 * share)} %`;
    });
    if (cuts.on()) for (const { made } of [...answers.slice(2), alike, ...looks, enough]) made.disabled = true;
    for (const { made } of [answers[2], cut]) made.disabled ||= group.length > 0;
    for (const { made } of [...answers, ...moves, enough]) made.disabled ||= closed;
    ofClass.forEach(({ made, mark }, at) => {
      mark.textContent = shown?.label === at ? "now" : "";
      made.classList.toggle("a2lc-now", shown?.label === at);
    });
    if (shown) {
      const seen = shown.model.map(([label, share]) => `${classes[label].name} ${Math.round(100 * share)} %`).join(", ");
      question.replaceChildren(...(group.length ? [`${chosen().length} of ${group.length} chosen: are these `]
        : ["Is this "]), node("b", {}, shown.name), `?`);
      question.append(shown.said ? ` You said: ${shown.said}.` : "");
      if (cuts.on()) question.textContent = cuts.told();
      sees.textContent = `${seen ? `The model sees ${seen}. ` : ""}${shown.image}, mask ${shown.mask_id}, `
        + `${shown.area.toLocaleString("en")} pixels`;
      confirm.name.textContent = `Yes, ${shown.name}`;
    } else {
      question.textContent = closed ? "This round's queue is closed." : "All masks of this round are answered or skipped.";
      sees.textContent = closed ? "" : `${view.follows} ← shows your answers again.`;
    }
    stage.setAttribute("aria-label", `${title.textContent}. ${question.textContent} ${sees.textContent}`);
    [bar.max, bar.value] = [Math.max(total, 1), total - left];
  }
  function show() {
    const view = model.get("view");
    talk.heard();
    const pace = view.seconds === null ? "" : ` · ${view.seconds.toFixed(1)} s per answer`;
    counts.textContent = `${view.answered} answered, ${view.skipped} skipped, ${view.left} left · `
      + `${view.clicks_left} clicks left${pace}`
      + (view.others ? ` · another tab answers, too: ${view.others} so far` : "");
    outlook.textContent = view.outlook;
    outlook.hidden = !view.outlook;
    status.textContent = model.get("status");
    draw();
    fetchAhead();
  }

  // ---- keys
  function act(what, seen = group) { // what was shown as look-alikes when it was pressed
    if (what === "find") find.focus();
    else if (cuts.on() && !talk.turning() && !talk.holds() && cuts.act(what, pieceLabel(what))) words();
    else if (String(what).startsWith("best ")) {
      const [label] = (!behind && !talk.turning() && !talk.holds() && shown?.model[what.at(-1) - 1]) || [];
      if (label === undefined) talk.refuse("Not taken: the model names no such class, or the next mask was not there yet.");
      else act(label);
    } else if (LOOKS.includes(what)) {
      if (shown && !behind) { look[what] = !look[what]; paintAll(); }
    } else if (talk.turning() || talk.holds()) {
      if (what === "enough") talk.refuse("Not yet: keys pressed before are still on their way.");
      else talk.hold(((before) => () => act(what, before))(group));
    } else if (group.length && !["alike", "undo", "enough"].includes(what)) {
      const of = chosen().map(({ image, mask_id }) => [image, mask_id]);
      if (seen !== group) talk.refuse("Not taken: the look-alikes were not there yet.");
      else if (!of.length || what === "void image" || ["back", "on"].includes(what)) talk.refuse("Choose masks, then press the key of a class; Esc leaves.");
      else talk.send({ do: what, group: of, seconds: (performance.now() - since) / 1000 }, true);
      draw();
    } else if (what === "alike" || what === "cut") {
      if (behind || !shown) talk.refuse("Not taken: this key was pressed before the next mask was there.");
      else talk.send({ do: what, about: [shown.image, shown.mask_id], count: 6 }, true);
      draw();
    } else if (["undo", "back", "on", "enough"].includes(what)) {
      if (what === "enough" && talk.waiting.size) talk.refuse("Not yet: answers are still on their way.");
      else talk.send({ do: what }, true);
      draw();
    } else if (behind) {
      talk.refuse("Not taken: this key was pressed before the next mask was there. Press it again when you see the mask.");
    } else if (shown) {
      talk.send({ do: what, of: [shown.image, shown.mask_id], seconds: (performance.now() - since) / 1000 });
      draw();
      fetchAhead();
    }
  }
  const acts = new Map([...Object.entries(keys).map(([what, key]) => [key, what]), ...Object.entries(model.get("also"))]);
  classes.forEach(({ key }, at) => { if (key) acts.set(key, at); });
  const filter = () => {
    const wanted = find.value.trim().toLowerCase();
    ofClass.forEach(({ made }, at) => { made.hidden = !classes[at].name.toLowerCase().includes(wanted); });
  };
  const leaveFind = () => { find.value = ""; filter(); stage.focus({ preventScroll: true }); };
  find.addEventListener("input", filter);
  find.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leaveFind();
    if (event.key !== "Enter") return;
    const names = classes.map(({ name }) => name.toLowerCase()), wanted = find.value.trim().toLowerCase();
    const fitting = names.flatMap((name, at) => (name.includes(wanted) ? [at] : [])), exact = names.indexOf(wanted);
    if (wanted && (exact >= 0 || fitting.length === 1)) {
      leaveFind();
      act(exact >= 0 ? exact : fitting[0]);
    } else talk.refuse(`${fitting.length} classes have “${find.value}” in their names: type on until it is one.`);
  });
  el.addEventListener("keydown", (event) => {
    if (event.target === find) return;
    if (event.ctrlKey || event.altKey || event.metaKey || event.key === "Tab") return;
    if (event.target.closest("button:not(.a2lc-like)") && ["Enter", " "].includes(event.key)) return; // presses the button
    const key = meant(event), what = acts.get(key) ?? acts.get(key.toLowerCase());
    if (!talk.turning() && !talk.holds() && cuts.key(key)) return event.preventDefault();
    if (group.length && !behind && !talk.holds() && inGroup(key)) return event.preventDefault();
    if (what === undefined) return;
    event.preventDefault();
    if (event.repeat && !["back", "on"].includes(what)) return;
    act(what);
  });
  el.addEventListener("click", (event) => {
    if (!event.target.closest("button, input, a")) stage.focus({ preventScroll: true });
  });
  el.addEventListener("focusin", () => { asleep.style.visibility = "hidden"; });
  el.addEventListener("focusout", ({ relatedTarget }) => {
    if (!el.contains(relatedTarget)) asleep.style.visibility = "";
  });

  const again = setInterval(fetchAhead, 5000);
  model.on("change:replies", show); // all that belongs to a view comes in one message
  model.on("msg:custom", arrived);
  show();
  return () => {
    talk.end();
    clearInterval(again);
    model.off("change:replies", show);
    model.off("msg:custom", arrived);
  };
}

export default { render };
