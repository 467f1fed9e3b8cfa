// The Approver: shows corrections and reports decisions. Nothing is decided here: the kernel answers every message with
// a new view and a higher `replies`; what is pressed meanwhile follows in order, as far as its correction is in sight.

const SIGNS = { approved: "✓ approved", rejected: "✗ rejected", "": "undecided" };
const percent = (share) => (share === null ? "–" : `${Math.round(100 * share)} %`);
const range = ({ right, low, high }) => (right === null ? "–" : `${percent(right)} (${Math.round(100 * low)} to ${percent(high)})`);

function render({ model, el }) {
  const keys = model.get("key_of"), colours = model.get("colours");
  const chip = (name) => {
    const made = node("span", { class: "a2lc-chip", "aria-hidden": "true" });
    if (colours[name]) made.style.background = colours[name];
    return made;
  };
  const title = node("strong", { class: "a2lc-title" }), counts = node("span", { class: "a2lc-counts" });
  const expected = node("p", { class: "a2lc-text" }), notes = node("p", { class: "a2lc-note" });
  const caveat = node("p", { class: "a2lc-text" }), bins = node("table", { class: "a2lc-bins" });
  const more = node("details", {}, node("summary", {}, "How sure is that? And by confidence"), caveat, bins);
  const groups = node("div", { class: "a2lc-groups", role: "group", "aria-label": "From class to class" });
  const gallery = node("div", { class: "a2lc-gallery" });
  const image = node("img", { alt: "" }), showContext = imageOf(image);
  const about = node("p", { class: "a2lc-question" }), sizes = node("p", { class: "a2lc-sees" });
  const stage = node("div", {
    class: "a2lc-stage", tabindex: "0", role: "application", "aria-roledescription": "gallery of corrections",
  }, gallery, node("div", { class: "a2lc-one" }, image, about, sizes));
  const status = node("p", { class: "a2lc-status", role: "status", "aria-live": "polite" });

  const refused = node("p", { class: "a2lc-refused", role: "status", "aria-live": "assertive" });
  const talk = conversation(model, el, stage, status, refused);
  const STEPS = { approve: 1, reject: 1, on: 1, back: -1 }, STAYS = ["leave", ...Object.keys(STEPS)];
  const steps = []; // of what the kernel has not heard: how far each moves the selection
  function send(message) {
    if (talk.turning() || talk.holds()) {
      const { at, first, tiles, chosen } = model.get("view"), next = steps.reduce((sum, step) => sum + step, at);
      if (!STAYS.includes(message.do) || chosen[1] - chosen[0] > 1 || next < first || next >= first + tiles.length) {
        return talk.refuse("Not taken: press it again when you see what it is about.");
      }
      talk.hold(() => talk.send(message, true));
    } else talk.send(message, true);
    steps.push(STEPS[message.do] ?? 0);
  }
  const press = (what, words, style = "") => keyButton(keys[what], words, style, stage, () => send({ do: what }));
  const actions = {
    approve: press("approve", "Approve"), reject: press("reject", "Reject"), leave: press("leave", "Leave undecided"),
    back: press("back", "Previous"), on: press("on", "Next"),
    page_back: press("page_back", "Page before"), page_on: press("page_on", "Next page"),
  };
  const whole = {
    approve_group: press("approve_group", "", "a2lc-confirm"), reject_group: press("reject_group", "", "a2lc-confirm"),
    leave_group: press("leave_group", ""), undo: press("undo", "Take back the last decision"),
  };
  const enough = press("enough", "Go on with what is approved");
  const row = (label, buttons) => node("div", { class: "a2lc-actions", role: "group", "aria-label": label },
    ...Object.values(buttons).map(({ made }) => made));
  el.classList.add("a2lc-widget", "a2lc-approver");
  el.append(
    node("div", { class: "a2lc-head" }, title, counts), expected, more, notes,
    node("div", { class: "a2lc-both" }, groups, node("div", { class: "a2lc-work" }, stage, status, refused,
      row("This correction", actions), row("All that are shown", whole), row("End", { enough }))),
  );
  keepKeys(el);

  function group(name, count, undecided, more, chosen, what) {
    const decided = `${count} corrections, ${count - undecided} decided`;
    const lines = [name, node("span", {}, decided), ...(more ? [node("span", {}, more)] : [])];
    const made = node("button", { type: "button", class: "a2lc-flow", "aria-pressed": String(chosen) }, ...lines);
    made.addEventListener("click", () => send({ do: "group", group: what }));
    return made;
  }
  function showGroups(view) {
    const at = groups.contains(document.activeElement) ? [...groups.children].indexOf(document.activeElement) : -1;
    const all = view.groups.reduce((sum, { corrections }) => sum + corrections, 0);
    const rows = view.groups.map((flow) => {
      const { old, new: label, corrections, undecided } = flow;
      const name = node("span", { class: "a2lc-names" }, chip(old), `${old} → `, chip(label), label);
      const chosen = view.group !== null && view.group[0] === old && view.group[1] === label;
      return group(name, corrections, undecided, `expected right: ${range(flow)}`, chosen, [old, label]);
    });
    const name = node("span", { class: "a2lc-names" }, "All classes");
    groups.replaceChildren(group(name, all, view.counts.undecided, "", view.group === null, null), ...rows);
    if (at >= 0) groups.children[at]?.focus();
  }
  function showTiles(view) {
    const bytes = model.get("tiles");
    if (gallery.bytes !== bytes) {
      gallery.bytes = bytes;
      gallery.replaceChildren(...bytes.map((tile, place) => {
        const picture = node("img", { alt: "" });
        const made = node("figure", { class: "a2lc-tile" }, picture, node("figcaption", {}));
        made.shown = imageOf(picture)(tile);
        made.addEventListener("click", (event) => {
          send({ do: event.shiftKey ? "select_to" : "select", at: model.get("view").first + place });
        });
        return made;
      }));
    }
    view.tiles.forEach(({ old, new: label, confidence, decision }, place) => {
      const made = gallery.children[place], at = view.first + place;
      const selected = at >= view.chosen[0] && at < view.chosen[1];
      made.className = `a2lc-tile ${selected ? "a2lc-selected" : ""} a2lc-${decision || "undecided"}`;
      made.querySelector("img").alt = `${old} to ${label}, ${SIGNS[decision]}`;
      const lines = [`${old} → ${label}`, confidence, SIGNS[decision]].map((text) => node("span", {}, text));
      made.querySelector("figcaption").replaceChildren(...lines);
    });
    return Promise.all([...gallery.children].map(({ shown }) => shown));
  }
  function show() {
    talk.heard();
    while (steps.length > Number(stage.dataset.waiting)) steps.shift();
    const view = model.get("view"), tile = view.tiles[view.at - view.first];
    const { undecided, approved, rejected } = view.counts;
    title.textContent = `Round ${view.round}: what would be corrected`;
    counts.textContent = `✓ ${approved} approved, ✗ ${rejected} rejected, ${undecided} undecided`;
    [expected.textContent, caveat.textContent] = [view.expected, view.caveat];
    const cells = (tag, texts) => node("tr", {}, ...texts.map((text) => node(tag, {}, text)));
    bins.replaceChildren(cells("th", ["Confidence", "Corrections", "Expected right (90 %)"]),
      ...view.confidence.map((bin) => cells("td", [bin.confidence, String(bin.corrections), range(bin)])));
    [notes.textContent, notes.hidden] = [view.notes.join(" "), !view.notes.length];
    showGroups(view);
    const these = view.group ? `all ${view.total}: ${view.group.join(" → ")}` : `all ${view.total}`;
    whole.approve_group.name.textContent = `Approve the undecided of ${these}`;
    whole.reject_group.name.textContent = `Reject the undecided of ${these}`;
    whole.leave_group.name.textContent = "Take all these back";
    about.replaceChildren("Is it ", node("b", {}, tile.new), ` rather than ${tile.old}?`);
    const right = tile.right === null ? "" : ` Expected to be right: ${range(tile)}.`;
    sizes.textContent = `${view.at + 1} of ${view.total}, the least confident first; confidence ${tile.confidence}.${right} `
      + `${tile.image}, mask ${tile.mask_id}, ${tile.area.toLocaleString("en")} pixels; ${SIGNS[tile.decision]}.`;
    image.alt = `Mask ${tile.mask_id} of ${tile.image}, outlined in the whole image`;
    stage.setAttribute("aria-label", `${about.textContent} ${sizes.textContent}`);
    for (const { made } of [...Object.values({ ...actions, ...whole }), enough]) made.disabled = view.closed;
    status.textContent = model.get("status");
    Promise.all([showTiles(view), showContext(model.get("context"))])
      .then(() => {
        stage.dataset.replies = model.get("replies");
        talk.release(() => true);
      });
  }

  const acts = new Map(Object.entries(keys).map(([what, key]) => [key, what]));
  el.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.key === "Tab") return;
    const act = acts.get(meant(event));
    if (act === undefined || (event.repeat && !["back", "on", "page_back", "page_on"].includes(act))) return;
    event.preventDefault();
    send({ do: act });
  });
  stage.addEventListener("click", () => stage.focus({ preventScroll: true }));

  model.on("change:replies", show); // all that belongs to a view comes in one message
  show();
  return () => { talk.end(); model.off("change:replies", show); showContext(null); };
}

export default { render };
