// Sparsity Report: density as a picture, and the views to click on. A click sets the node's frame, x and y.

import { addWidget, fileUrl, onResult } from "./results.js";
import { fill, words } from "./words.js";

export function addPicker(node) {
  const box = document.createElement("div");
  box.style.cssText =
    "display:flex;flex-direction:column;gap:6px;width:100%;height:100%;max-height:640px;overflow:auto;box-sizing:border-box;" +
    "font:11px/1.4 system-ui,sans-serif;color:var(--input-text,#ddd)";
  const hint = document.createElement("div");
  hint.textContent = words.picker;
  const views = document.createElement("div");
  views.style.cssText = "display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:4px";
  const density = document.createElement("img");
  density.alt = words.density;
  density.style.cssText = "max-width:100%;align-self:center;display:none;border-radius:4px";
  box.append(hint, views, density);
  for (const name of ["pointerdown", "wheel"]) box.addEventListener(name, (event) => event.stopPropagation());
  addWidget(node, "picker", box, () => 200);
  node.setSize([Math.max(node.size[0], 420), Math.max(node.size[1], node.computeSize()[1] + 160)]);

  onResult(node, (output) => {
    if (!output.manyview_frames) return;
    density.src = fileUrl(output.manyview_density[0]);
    density.style.display = "block";
    views.replaceChildren(...output.manyview_frames.map((entry, frame) => view(node, fileUrl(entry), frame, hint)));
  });
}

function view(node, url, frame, hint) {
  const picture = document.createElement("img");
  picture.src = url;
  picture.alt = fill(words.view, { frame });
  picture.title = fill(words.viewHint, { frame });
  picture.draggable = false;
  picture.style.cssText = "width:100%;cursor:crosshair;border-radius:4px;display:block";
  const mark = document.createElement("div");
  mark.style.cssText =
    "position:absolute;width:9px;height:9px;margin:-6px 0 0 -6px;border:2px solid #3cff78;border-radius:50%;display:none";
  mark.className = "manyview-mark";
  const frameBox = document.createElement("div");
  frameBox.style.cssText = "position:relative";
  frameBox.append(picture, mark);
  picture.addEventListener("click", (event) => {
    const place = picture.getBoundingClientRect();
    const x = (event.clientX - place.left) / place.width;
    const y = (event.clientY - place.top) / place.height;
    set(node, { frame, x: Number(x.toFixed(3)), y: Number(y.toFixed(3)) });
    for (const other of frameBox.parentElement.querySelectorAll(".manyview-mark")) other.style.display = "none";
    mark.style.cssText += `;display:block;left:${100 * x}%;top:${100 * y}%`;
    hint.textContent = fill(words.picked, { frame, x: Math.round(100 * x), y: Math.round(100 * y) });
  });
  return frameBox;
}

function set(node, values) {
  for (const [name, value] of Object.entries(values)) {
    const widget = node.widgets.find((each) => each.name === name);
    if (!widget) continue;
    widget.value = value;
    widget.callback?.(value);
  }
}
