// The layers of a MaskBrowser: one row each, with a box to switch it on and a slider for its opacity.

function render({ model, el }) {
  const rows = new Map();
  el.classList.add("a2lc-layers");
  const change = (name, what) => {
    model.set("layers", model.get("layers").map((layer) => (layer.name === name ? { ...layer, ...what } : layer)));
    model.save_changes();
  };
  for (const { name, title, key } of model.get("layers")) {
    const box = Object.assign(document.createElement("input"), { type: "checkbox" });
    const label = document.createElement("label");
    const hint = Object.assign(document.createElement("kbd"), { textContent: key, title: `key ${key}, on the picture` });
    label.append(box, ` ${title}`, hint);
    const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 100, step: 5 });
    slider.setAttribute("aria-label", `Opacity of ${title.toLowerCase()}, percent`);
    const percent = document.createElement("output");
    box.addEventListener("change", () => change(name, { shown: box.checked }));
    slider.addEventListener("input", () => { percent.textContent = `${slider.value} %`; });
    slider.addEventListener("change", () => change(name, { opacity: Number(slider.value) }));
    const row = document.createElement("div");
    row.className = "a2lc-layer";
    row.append(label, slider, percent);
    el.append(row);
    rows.set(name, { box, slider, percent });
  }
  const show = () => {
    for (const { name, shown, opacity } of model.get("layers")) {
      const { box, slider, percent } = rows.get(name);
      [box.checked, slider.value, slider.disabled] = [shown, opacity, !shown];
      percent.textContent = `${opacity} %`;
    }
  };
  model.on("change:layers", show);
  show();
  return () => model.off("change:layers", show);
}

export default { render };
