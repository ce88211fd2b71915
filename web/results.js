// The last result of a node. It comes with a run, and comes back after undo, another tab or F5: from the outputs that the
// page keeps for each tab, else from the node's own properties, which are saved with the graph.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const PROPERTY = "manyview_result";
const shows = new WeakMap(); // node -> a function that shows an output unless it is shown already

// Calls show(output) for each new result of the node, beside whatever else listens, and for one that comes back.
export function onResult(node, show) {
  let shown = null;
  const present = (output) => {
    const key = JSON.stringify(output ?? null);
    if (!output || key === shown) return;
    shown = key;
    show(output);
    app.canvas?.setDirty(true, true);
  };
  shows.set(node, present);
  const executed = node.onExecuted;
  node.onExecuted = function (output) {
    executed?.apply(this, arguments);
    if (!output) return; // a cached node without anything to show
    this.properties[PROPERTY] = toSave(output);
    shown = null; // files of the same name may have changed
    present(output);
    noteChange();
  };
  const configured = node.onConfigure;
  node.onConfigure = function () {
    configured?.apply(this, arguments);
    present(this.properties[PROPERTY]);
  };
}

// A node that undo, a tab or a file has just brought: what the page still knows of it is newer than what was saved.
export function restore(node) {
  shows.get(node)?.(app.nodeOutputs?.[locator(node)]);
}

// The page has other outputs than before, such as those of runs that ended while another tab was open.
export function restoreAll(outputs) {
  const isUndo = app.extensionManager?.workflow?.activeWorkflow?.changeTracker?._restoringState;
  for (const node of everyNode()) {
    const output = shows.has(node) ? outputs[locator(node)] : null;
    if (!output) continue;
    shows.get(node)(output);
    const saved = toSave(output);
    if (isUndo || JSON.stringify(node.properties[PROPERTY]) === JSON.stringify(saved)) continue;
    node.properties[PROPERTY] = saved;
    noteChange();
  }
}

// The address of a file that a node names by {filename, subfolder, type}, or by a text such as "folder/points.ply [temp]".
export function fileUrl(file) {
  return api.apiURL(`/view?${new URLSearchParams(typeof file === "string" ? entryOf(file) : file)}`);
}

function entryOf(text) {
  const [, path, type] = text.match(/^(.*) \[(\w+)\]$/);
  const cut = path.lastIndexOf("/");
  return { filename: path.slice(cut + 1), subfolder: path.slice(0, Math.max(cut, 0)), type };
}

// A piece of page on a node. It holds no value: nothing is saved with the graph, and nothing moves the values of others.
export function addWidget(node, name, element, height) {
  const widget = node.addDOMWidget(name, `manyview_${name}`, element, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => height(),
  });
  widget.serialize = false;
  return widget;
}

// What may be saved with a graph, which is passed on to others: no path of this computer.
function toSave(output) {
  const { manyview_path: _, ...rest } = output;
  return rest;
}

// How the page names a node: its number, inside a subgraph after the subgraph's.
function locator(node) {
  const graph = node.graph;
  return !graph || graph === root() ? String(node.id) : `${graph.id}:${node.id}`;
}

function everyNode() {
  const graph = root();
  return [graph, ...(graph?.subgraphs?.values() ?? [])].flatMap((each) => each?.nodes ?? []);
}

function root() {
  return app.rootGraph ?? app.graph;
}

// The page keeps a draft of the graph for F5, but does not look for changes when a run ends. All of a run are one change.
let noting = null;

function noteChange() {
  clearTimeout(noting);
  noting = setTimeout(() => {
    const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
    (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
  }, 100);
}
