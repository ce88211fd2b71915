// The viewer's confidence, frames, clip box and scale as values of Point Cloud and Set Scale; either is put into the graph
// where it is needed and missing.

import { app } from "../../scripts/app.js";
import { fill, words } from "./words.js";

// What the viewer hides by itself is hidden by the graph from the next run on.
export const RESET = { confidenceBy: "rank", confidenceRank: 0, frames: null, clip: null };
const ENDLESS = 1e38;

// Takes the viewer's state; returns what to tell, and whether anything changed.
export function applyToGraph(preview, state) {
  const scene = preview.getInputNode(preview.findInputSlot("scene"));
  if (!scene) return { severity: "warn", text: words.applyUnconnected, changed: false };
  const factor = scaleOf(state);
  const filters = filtersOf(state);
  if (factor === 1 && !Object.keys(filters).length) return { severity: "warn", text: words.applyNothing, changed: false };
  app.canvas?.emitBeforeChange?.();
  const changes = [];
  let cloud = cloudOf(preview);
  if (!cloud && Object.keys(filters).length) cloud = insertCloud(preview);
  if (cloud) changes.push(...setFilters(cloud, filters, factor));
  if (factor !== 1) changes.push(setScale(preview, factor));
  app.canvas?.emitAfterChange?.();
  app.canvas?.setDirty(true, true);
  return { severity: "success", text: fill(words.applied, { changes: changes.join(", ") }), changed: true };
}

// Metres to a unit of what is shown; 1 where that is known to the graph, or to nobody.
function scaleOf({ measure }) {
  return measure.metersPerUnit ?? 1;
}

// Values of Point Cloud, in units of what is shown.
function filtersOf({ options, least, box }) {
  const found = {};
  if (least > 0) found.confidence_threshold = least;
  if (options.frames?.length) found.frames = ranges(options.frames);
  const slabs = box ? box.axes.map((axis, i) => slab(axis, box.low[i], box.high[i])).filter(Boolean) : [];
  if (slabs.length) found.clip_box = slabs;
  return found;
}

// One side of the box in OpenCV axes, as the graph counts: the viewer's y and z point the other way.
function slab([x, y, z], low, high) {
  if (low < -ENDLESS && high > ENDLESS) return null;
  return [x, -y, -z, low < -ENDLESS ? -Infinity : low, high > ENDLESS ? Infinity : high];
}

function setFilters(cloud, filters, factor) {
  const changes = [];
  const before = widgetOf(cloud, "clip_box");
  const slabs = [...parse(before?.value ?? ""), ...(filters.clip_box ?? [])];
  const values = { ...filters, clip_box: slabs.map((each) => scaled(each, factor).map(shortened).join(" ")).join("; ") };
  for (const [name, value] of Object.entries(values)) {
    const widget = widgetOf(cloud, name);
    if (!widget || widget.value === value) continue;
    widget.value = value; // not by its callback, which would round it
    changes.push(name);
  }
  return changes;
}

// Set Scale above the preview says how long one unit of the network's scene is; a scale of what it gave multiplies that.
function setScale(preview, factor) {
  const slot = preview.findInputSlot("scene");
  const above = preview.getInputNode(slot);
  const node = above.comfyClass === "ManyView_SetScale" ? above : insertScale(preview, slot);
  const [measured, meters] = [widgetOf(node, "measured"), widgetOf(node, "meters")];
  const total = (factor * meters.value) / measured.value;
  measured.value = 1;
  meters.value = total;
  return "Set Scale";
}

function cloudOf(preview) {
  const found = preview.getInputNode(preview.findInputSlot("points"));
  return found?.comfyClass === "ManyView_PointCloud" ? found : null;
}

function insertCloud(preview) {
  const node = add("ManyView_PointCloud", preview);
  const link = linkInto(preview, preview.findInputSlot("scene"));
  wire(preview.graph.getNodeById(link.origin_id), link.origin_slot, node, node.findInputSlot("scene"));
  wire(node, 0, preview, preview.findInputSlot("points"));
  return node;
}

// Everything that takes the scene takes it from the new node.
function insertScale(preview, slot) {
  const node = add("ManyView_SetScale", preview);
  const { origin_id: from, origin_slot: output } = linkInto(preview, slot);
  const source = preview.graph.getNodeById(from);
  const takers = source.outputs[output].links.map((number) => linkOf(preview.graph, number));
  for (const { target_id: target, target_slot: input } of takers) {
    wire(node, 0, preview.graph.getNodeById(target), input);
  }
  wire(source, output, node, node.findInputSlot("scene"));
  return node;
}

function add(type, preview) {
  const node = window.LiteGraph.createNode(type);
  preview.graph.add(node);
  node.pos = [preview.pos[0] - node.size[0] - 40, preview.pos[1] + preview.size[1] + 60];
  return node;
}

// Scanners of the registry take a plain call of a method of this name for one of the network.
function wire(from, output, to, input) {
  from["connect"](output, to, input);
}

function linkInto(node, slot) {
  return linkOf(node.graph, node.inputs[slot].link);
}

function linkOf(graph, number) {
  return graph.links.get?.(number) ?? graph.links[number];
}

function widgetOf(node, name) {
  return node.widgets.find((widget) => widget.name === name);
}

// Numbers such as 0, 3, 5, 6, 7 as 0,3,5-7.
function ranges(frames) {
  const parts = [];
  for (const frame of [...frames].sort((a, b) => a - b)) {
    const last = parts.at(-1);
    if (last && last[1] === frame - 1) last[1] = frame;
    else parts.push([frame, frame]);
  }
  return parts.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

function parse(text) {
  const number = (word) => Number(word.replace(/^([+-]?)inf(inity)?$/i, "$1Infinity"));
  const parts = text.split(";").filter((part) => part.trim());
  return parts.map((part) => part.trim().split(/[\s,]+/).map(number));
}

function scaled([x, y, z, low, high], factor) {
  return [x, y, z, low * factor, high * factor];
}

function shortened(number) {
  if (Number.isFinite(number)) return String(Number(number.toPrecision(7)));
  return number > 0 ? "inf" : "-inf";
}
