// The Annotator: shows one question at a time and reports what is pressed. Nothing is decided here: the kernel answers
// every message with a new view and a higher `replies`; what is pressed while it has not answered is not heard.

function render({ model, el }) {
  const keys = model.get("key_of");
  const title = node("strong", { class: "a2lc-title" });
  const counts = node("span", { class: "a2lc-counts" });
  const bar = node("progress", { "aria-label": "Masks answered or skipped" });
  const pictures = ["In its image", "Close up"].map((words) => {
    const image = node("img", { alt: "" });
    return { image, figure: node("figure", {}, image, node("figcaption", {}, words)), show: imageOf(image) };
  });
  const question = node("p", { class: "a2lc-question" });
  const sees = node("p", { class: "a2lc-sees" });
  const stage = node("div", {
    class: "a2lc-stage", tabindex: "0", role: "application", "aria-roledescription": "question about a mask",
  }, node("div", { class: "a2lc-pictures" }, ...pictures.map(({ figure }) => figure)), question, sees);
  const status = node("p", { class: "a2lc-status", role: "status", "aria-live": "polite" });
  const outlook = node("p", { class: "a2lc-sees a2lc-outlook" });
  const notes = node("p", { class: "a2lc-note" });

  const { send, settled } = conversation(model, el, status);
  const button = (what, key, words, style = "") => keyButton(key, words, style, stage, () => send({ do: what }));
  const confirm = button("confirm", keys.confirm, "Yes", "a2lc-confirm");
  const actions = [
    confirm, button("void", keys.void, "No class, or cannot tell"),
    button("void image", keys["void image"], "No label of this image is of use"), button("skip", keys.skip, "Skip"),
    button("undo", keys.undo, "Undo"), button("back", keys.back, "Previous"), button("on", keys.on, "Next"),
    button("outline", keys.outline, "Hide outline"),
  ];
  const classes = model.get("classes").map(({ name, key, colour }, at) => {
    const { made, name: words } = button(at, key, name, "a2lc-class-key");
    const swatch = node("span", { class: "a2lc-chip", "aria-hidden": "true" });
    swatch.style.background = colour;
    words.before(swatch);
    const mark = node("span", { class: "a2lc-mark" });
    made.append(mark);
    return { made, mark };
  });
  const enough = button("enough", "", "Enough for this round");
  el.classList.add("a2lc-widget", "a2lc-annotator");
  el.append(
    node("div", { class: "a2lc-head" }, title, bar, counts), outlook, stage, status, notes,
    node("div", { class: "a2lc-actions", role: "group", "aria-label": "Answers" }, ...actions.map(({ made }) => made)),
    node("div", { class: "a2lc-classes", role: "group", "aria-label": "It is" }, ...classes.map(({ made }) => made)),
    node("div", { class: "a2lc-actions" }, enough.made),
  );
  keepKeys(el);

  function show() {
    settled();
    const view = model.get("view");
    const { query, round, total, answered, skipped, left, clicks_left, seconds, closed, notes: missing } = view;
    title.textContent = query ? `Round ${round}: mask ${query.position + 1} of ${total}` : `Round ${round}`;
    [bar.max, bar.value] = [Math.max(total, 1), total - left];
    const pace = seconds === null ? "" : ` · ${seconds.toFixed(1)} s per answer`;
    counts.textContent = `${answered} answered, ${skipped} skipped, ${left} left · ${clicks_left} clicks left${pace}`;
    outlook.textContent = view.outlook;
    outlook.hidden = !view.outlook;
    notes.textContent = missing.join(" ");
    notes.hidden = !missing.length;
    stage.classList.toggle("a2lc-empty", !query);
    for (const { made } of [...actions.slice(0, 4), actions.at(-1), ...classes]) made.disabled = !query;
    for (const { made } of [...actions, enough]) made.disabled ||= closed;
    const names = model.get("classes").map(({ name }) => name);
    classes.forEach(({ made, mark }, at) => {
      const seen = query?.model.find(([label]) => label === at);
      const words = [query?.label === at ? "now" : "", seen ? `${Math.round(100 * seen[1])} %` : ""];
      mark.textContent = words.filter(Boolean).join(" ");
      made.classList.toggle("a2lc-now", query?.label === at);
    });
    if (query) {
      const seen = query.model.map(([label, share]) => `${names[label]} ${Math.round(100 * share)} %`).join(", ");
      question.replaceChildren("Is this ", node("b", {}, query.name), `?`);
      question.append(query.said ? ` You said: ${query.said}.` : "");
      sees.textContent = `${seen ? `The model sees ${seen}. ` : ""}${query.image}, mask ${query.mask_id}, `
        + `${query.area.toLocaleString("en")} pixels`;
      confirm.name.textContent = `Yes, ${query.name}`;
    } else {
      question.textContent = closed ? "This round's queue is closed." : "All masks of this round are answered or skipped.";
      sees.textContent = closed ? "" : "Go on with a2lc.human.next_round(run) in the next cell; ← shows your answers again.";
    }
    stage.setAttribute("aria-label", `${title.textContent}. ${question.textContent} ${sees.textContent}`);
    status.textContent = model.get("status");
    const told = () => { stage.dataset.replies = model.get("replies"); };
    if (!query) return told();
    Promise.all([pictures[0].show(model.get("context")), pictures[1].show(model.get("close_up"))]).then(told);
    pictures[0].image.alt = `Mask ${query.mask_id} of ${query.image}, outlined in the whole image`;
    pictures[1].image.alt = `Mask ${query.mask_id} of ${query.image}, outlined, close up`;
  }

  const acts = new Map([...Object.entries(keys).map(([what, key]) => [key, what]), [" ", "confirm"], ["Backspace", "undo"]]);
  model.get("classes").forEach(({ key }, at) => { if (key) acts.set(key, at); });
  el.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.key === "Tab") return;
    if (event.target.closest("button") && ["Enter", " "].includes(event.key)) return; // presses the button
    const act = acts.get(event.key) ?? acts.get(event.key.toLowerCase());
    if (act === undefined) return;
    event.preventDefault();
    if (event.repeat && !["back", "on"].includes(act)) return;
    if (!model.get("view").query && act !== "undo" && act !== "back") return;
    send({ do: act });
  });
  stage.addEventListener("click", () => stage.focus({ preventScroll: true }));

  model.on("change:replies", show); // all that belongs to a view comes in one message
  show();
  return () => {
    settled();
    model.off("change:replies", show);
    for (const { show: of } of pictures) of(null);
  };
}

export default { render };
