// Preview: the viewer in a frame of its own, made with the first result. A new result is loaded into the viewer that is
// there, and the view stays as long as the scene does.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { applyToGraph, RESET } from "./apply.js";
import { addWidget, fileUrl, onResult } from "./results.js";
import { language, words } from "./words.js";

const LEAST_PX = 160;
const WIDTH_PX = 640;
const HEIGHT_PX = 560;
const FOR_THE_GRAPH = ["Delete", "Backspace"]; // keys that would change the graph while one looks at points

export function addViewer(node) {
  const stage = document.createElement("div");
  stage.className = "manyview-viewer";
  stage.style.cssText =
    "display:flex;flex-direction:column;width:100%;height:100%;overflow:hidden;border-radius:6px;background:#1b1d22;color:#c9ccd3;" +
    "font:12px/1.5 system-ui,sans-serif";
  const empty = placeholder(words.run, words.runMore);
  stage.append(empty);
  addWidget(node, "viewer", stage, () => LEAST_PX);
  node.setSize([Math.max(node.size[0], WIDTH_PX), Math.max(node.size[1], HEIGHT_PX)]);

  let viewer = null;
  let newest = 0;
  const removed = node.onRemoved;
  node.onRemoved = function () {
    viewer?.close();
    removed?.apply(this, arguments);
  };
  onResult(node, async (output) => {
    if (!output.manyview_preview) return;
    const number = ++newest;
    const [cloud, cameras] = output.manyview_preview.map(fileUrl);
    const isThere = (await fetch(cloud, { method: "HEAD" })).ok; // the temp folder is emptied when the server starts
    if (number !== newest) return;
    if (!isThere) {
      if (!viewer) empty.replaceChildren(...placeholder(words.run, words.gone).childNodes);
      return;
    }
    viewer ??= new Viewer(node, stage);
    empty.remove();
    viewer.show(cloud, cameras, output.manyview_scene[0]);
  });
}

function placeholder(title, more) {
  const box = document.createElement("div");
  box.style.cssText = "margin:auto;padding:16px;text-align:center";
  const heading = document.createElement("div");
  Object.assign(heading, { textContent: title, className: "manyview-empty" });
  heading.style.cssText = "font-size:16px;margin-bottom:4px";
  const text = document.createElement("div");
  text.textContent = more;
  box.append(heading, text);
  return box;
}

class Viewer {
  constructor(node, stage) {
    this.node = node;
    this.isReady = false;
    this.shown = null; // the files of the newest result
    this.seen = null; // which scene they are of: another filter of the same scene leaves the view where it is
    this.reset = null; // options that the next result makes superfluous, as the graph has them now
    this.waiting = new Map();
    this.frame = makeFrame();
    this.frame.addEventListener("load", () => this.shareKeys());
    this.listen = (event) => this.receive(event);
    window.addEventListener("message", this.listen);
    stage.append(this.frame, this.applyBar());
  }

  close() {
    window.removeEventListener("message", this.listen);
  }

  show(cloud, cameras, scene) {
    this.shown = { cloud, cameras, keepView: scene === this.seen };
    this.seen = scene;
    this.load();
  }

  load() {
    if (!this.isReady || !this.shown) return;
    this.send("load", { ...this.shown, ...(this.reset && { options: this.reset }) });
    this.reset = null;
  }

  send(request, about) {
    this.frame.contentWindow.postMessage({ manyview: request, ...about }, window.location.origin);
  }

  // The value of the viewer's reply.
  ask(request) {
    const id = crypto.randomUUID?.() ?? String(Math.random());
    const reply = new Promise((resolve) => this.waiting.set(id, resolve));
    this.send(request, { id });
    return reply;
  }

  receive({ source, origin, data }) {
    if (source !== this.frame.contentWindow || origin !== window.location.origin) return;
    if (data?.manyview === "reply") {
      this.waiting.get(data.id)?.(data.value);
      this.waiting.delete(data.id);
    }
    if (data?.manyview === "event" && data.event === "ready") {
      this.isReady = true; // again after the page has moved the frame, which starts it anew
      this.load();
    }
  }

  // Keys that mean nothing to the viewer are the page's, such as Ctrl+Enter after a click on the points.
  shareKeys() {
    this.frame.contentWindow.addEventListener("keydown", (event) => {
      const isTyping = event.target.matches?.("input:not([type=range]):not([type=checkbox]), textarea, select");
      const isShortcut = event.ctrlKey || event.metaKey || event.altKey;
      if (event.defaultPrevented || (isTyping && !(isShortcut && event.key === "Enter"))) return;
      if (FOR_THE_GRAPH.includes(event.key) || event.key === "Tab") return;
      if (!document.body.dispatchEvent(new KeyboardEvent("keydown", event))) event.preventDefault();
    });
    this.frame.contentWindow.addEventListener("keyup", (event) => document.body.dispatchEvent(new KeyboardEvent("keyup", event)));
  }

  applyBar() {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: words.apply });
    button.style.cssText =
      "flex:none;margin:0;padding:4px 8px;border:0;border-top:1px solid #0006;background:#2a2e37;color:inherit;font:inherit;cursor:pointer";
    button.addEventListener("pointerdown", (event) => event.stopPropagation());
    button.addEventListener("click", async () => {
      const { severity, text, changed } = applyToGraph(this.node, await this.ask("state"));
      if (changed) this.reset = RESET;
      app.extensionManager.toast.add({ severity, summary: "ManyView", detail: text, life: 8000 });
    });
    return button;
  }
}

function makeFrame() {
  const frame = document.createElement("iframe");
  frame.title = words.viewer;
  frame.allow = "fullscreen";
  frame.style.cssText = "flex:1;min-height:0;width:100%;border:0;display:block;background:#1b1d22";
  const about = new URLSearchParams({ lang: language(), theme: isDark(document.body) ? "dark" : "light" });
  frame.src = api.apiURL(`/manyview/viewer?${about}`);
  return frame;
}

// Whether the page's theme is a dark one.
function isDark(element) {
  const [red, green, blue] = getComputedStyle(element).backgroundColor.match(/[\d.]+/g).map(Number);
  return 0.3 * red + 0.6 * green + 0.1 * blue < 128;
}
