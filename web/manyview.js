// What ComfyUI's page shows on our nodes: a line of text, the picker of Sparsity Report, the viewer of Preview.
// Results come with the node's output, so everything also works without a page; this file only shows them.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const TEXT_NODES = [
  "ManyView_LoadImages",
  "ManyView_LoadModel",
  "ManyView_Reconstruct",
  "ManyView_PointCloud",
  "ManyView_ExportPointCloud",
  "ManyView_ExportCOLMAP",
  "ManyView_DepthMaps",
  "ManyView_SetScale",
  "ManyView_Compare",
];

// ComfyUI says of .js files that browsers must ask for them anew, but not of .mjs: after an update old and new ones would
// be mixed. So the page asks once whether any of ours has changed, which also renews the browser's copies.
const MODULES = ["picker.mjs", "preview.mjs", "viewer/main.mjs"].map((name) => new URL(name, import.meta.url).href);
let renewed = null;

app.registerExtension({
  name: "ManyView.Nodes",
  async nodeCreated(node) {
    if (TEXT_NODES.includes(node.comfyClass)) {
      showText(node);
      return;
    }
    if (!["ManyView_SparsityReport", "ManyView_Preview"].includes(node.comfyClass)) return;
    renewed ??= renew(MODULES).catch((error) => console.warn("ManyView: could not ask for newer files:", error));
    await renewed;
    if (node.comfyClass === "ManyView_SparsityReport") {
      const { addPicker } = await import(new URL("picker.mjs", import.meta.url));
      addPicker(node, { addWidget, onResult, fileUrl });
    } else {
      const { addViewer } = await import(new URL("preview.mjs", import.meta.url));
      const language = app.extensionManager.setting.get("Comfy.Locale") ?? "en";
      addViewer(node, { addWidget, onResult, fileUrl, language, isDark: isDark(document.body) });
    }
  },
});

// Asks the server about these modules and all that they import.
async function renew(addresses) {
  const known = new Set(addresses);
  for (let next = addresses; next.length; ) {
    const texts = await Promise.all(next.map(async (address) => (await fetch(address, { cache: "no-cache" })).text()));
    const found = texts.flatMap((text, i) =>
      [...text.matchAll(/^(?:import|export|\}).*?"(\.[^"]+)"/gm)].map((match) => new URL(match[1], next[i]).href),
    );
    next = [...new Set(found)].filter((address) => !known.has(address));
    next.forEach((address) => known.add(address));
  }
}

// The address of a file that a node names by {filename, subfolder, type}.
function fileUrl(entry) {
  return api.apiURL(`/view?${new URLSearchParams(entry)}`);
}

// A piece of page on a node. It holds no value: nothing is saved with the graph, and nothing moves the values of others.
function addWidget(node, name, element, height) {
  const widget = node.addDOMWidget(name, `manyview_${name}`, element, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => height(),
  });
  widget.serialize = false;
  return widget;
}

// Calls show(output) after each run of the node, beside whatever else listens.
function onResult(node, show) {
  const before = node.onExecuted;
  node.onExecuted = function (output) {
    before?.apply(this, arguments);
    show(output);
  };
}

// Whether the page's theme is a dark one.
function isDark(element) {
  const [red, green, blue] = getComputedStyle(element).backgroundColor.match(/[\d.]+/g).map(Number);
  return 0.3 * red + 0.6 * green + 0.1 * blue < 128;
}

function showText(node) {
  const element = document.createElement("pre");
  element.style.cssText =
    "margin:0;padding:6px 8px;box-sizing:border-box;width:100%;overflow:auto;white-space:pre-wrap;user-select:text;" +
    "font:11px/1.4 system-ui,sans-serif;color:var(--input-text,#ddd);background:var(--comfy-input-bg,#222);border-radius:6px";
  let widget = null;
  onResult(node, (output) => {
    const text = output?.text?.join("\n");
    if (!text) return;
    element.textContent = text;
    if (widget) return;
    const lines = () => Math.min(element.textContent.split("\n").length, 8);
    widget = addWidget(node, "text", element, () => 16 + 16 * lines());
    const [width, height] = node.computeSize();
    node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
    app.graph.setDirtyCanvas(true, true);
  });
}
