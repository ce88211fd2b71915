// What a node says after a run, wrapped to its width, and what there is to fetch: the place of its files, the files.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { addWidget, fileUrl, onResult } from "./results.js";
import { words } from "./words.js";

const LINE_PX = 16;
const MOST_LINES = 16;
const CHARACTER_PX = 6;

export function addText(node) {
  const text = document.createElement("pre");
  text.style.cssText = "margin:0;white-space:pre-wrap;overflow-wrap:anywhere;user-select:text;font:inherit";
  const links = document.createElement("div");
  links.style.cssText = "display:flex;flex-wrap:wrap;gap:4px 10px";
  const box = document.createElement("div");
  box.style.cssText =
    "display:flex;flex-direction:column;gap:6px;padding:6px 8px;box-sizing:border-box;width:100%;height:100%;overflow:auto;" +
    "font:11px/1.45 system-ui,sans-serif;color:var(--input-text,#ddd);background:var(--comfy-input-bg,#222);border-radius:6px";
  box.append(text, links);
  for (const name of ["pointerdown", "wheel"]) box.addEventListener(name, (event) => event.stopPropagation());
  let widget = null;
  const height = () => 14 + LINE_PX * Math.min(linesOf(text.textContent, node.size[0]), MOST_LINES) + 26 * Math.sign(links.childElementCount);
  onResult(node, (output) => {
    if (!output.text?.length) return;
    text.textContent = output.text.join("\n");
    links.replaceChildren(...linksOf(output));
    widget ??= addWidget(node, "text", box, height);
    const least = node.computeSize()[1];
    if (node.size[1] < least) node.setSize([node.size[0], least]);
  });
}

// About how many lines the text takes at this width.
function linesOf(text, width) {
  const fitting = Math.max(10, Math.floor((width - 46) / CHARACTER_PX));
  return text.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / fitting)), 0);
}

function linksOf(output) {
  const [place] = output.manyview_folder ?? [];
  const path = output.manyview_path?.[0] ?? `output/${place}`;
  const files = (output["3d"] ?? []).filter((entry) => /\.(ply|glb)$/.test(entry.filename));
  const found = files.map((entry) => link(fileUrl(entry), entry.filename, entry.filename));
  if (!place) return found;
  const zip = `/manyview/zip?${new URLSearchParams({ folder: place })}`;
  return [copyButton(path), ...found, link(api.apiURL(zip), words.zip, `${place.replaceAll("/", "_")}.zip`)];
}

function link(address, label, name) {
  const element = document.createElement("a");
  Object.assign(element, { href: address, textContent: label, download: name });
  element.style.cssText = "color:inherit;text-decoration:underline;cursor:pointer";
  return element;
}

function copyButton(path) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", textContent: words.copy, title: path });
  button.style.cssText =
    "font:inherit;color:inherit;background:transparent;border:1px solid currentColor;border-radius:4px;padding:0 6px;cursor:pointer";
  button.addEventListener("click", async () => {
    await copy(path);
    button.textContent = words.copied;
    setTimeout(() => (button.textContent = words.copy), 1500);
  });
  return button;
}

// Pages that are not on this machine and come without https have no clipboard; a selection can be copied all the same.
async function copy(value) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(value);
    return;
  }
  const field = document.createElement("textarea");
  field.value = value;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}
