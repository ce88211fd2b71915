// Load Images: a button and a place to drop for many photos or one video. Photos get a folder of their own below ComfyUI's
// input folder, under their names; a video lies beside them.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { fill, words } from "./words.js";

const PHOTO = /\.(jpe?g|png|webp|bmp|tiff?|gif|heic|heif|avif|jxl|jp2|ppm|pgm)$/i;
const VIDEO = /\.(mp4|mov|m4v|avi|mkv|webm|mpe?g|ts|mts|m2ts|3gp|wmv|flv)$/i;

export function addUpload(node) {
  const chooser = document.createElement("input");
  Object.assign(chooser, { type: "file", multiple: true, accept: "image/*,video/*,.heic,.heif,.avif,.jxl,.tif,.tiff" });
  let running = null; // an AbortController while files are on their way
  const button = node.addWidget("button", "upload", "upload", () => (running ? running.abort() : chooser.click()), { serialize: false });
  Object.assign(button, { label: words.upload, serialize: false });

  const start = async (files) => {
    if (running) return;
    running = new AbortController();
    try {
      await upload(node, files, running.signal, (done, total) => label(node, button, fill(words.cancel, { done, total })));
    } catch (error) {
      if (running.signal.aborted) tell("warn", fill(words.uploadCancelled, { done: 0, total: files.length, folder: "" }));
      else tell("error", error.message);
    } finally {
      running = null;
      label(node, button, words.upload);
    }
  };
  chooser.addEventListener("change", () => {
    start([...chooser.files].map((file) => ({ file, folder: "" })));
    chooser.value = "";
  });
  node.onDragOver = (event) => [...(event.dataTransfer?.items ?? [])].some((item) => item.kind === "file");
  node.onDragDrop = (event) => {
    if (![...event.dataTransfer.items].some(isOurs)) return false; // such as a workflow, which the page opens
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile()).filter(Boolean);
    const folder = entries.length === 1 && entries[0].isDirectory ? entries[0].name : null;
    collect(entries).then((files) => start(folder ? Object.assign(files, { folder }) : files));
    return true;
  };
}

// Whether a dropped item is a photo, a video or a folder.
function isOurs(item) {
  const entry = item.webkitGetAsEntry?.();
  return Boolean(entry?.isDirectory) || /^(image|video)\//.test(item.type) || PHOTO.test(entry?.name ?? "") || VIDEO.test(entry?.name ?? "");
}

async function upload(node, files, signal, progress) {
  const photos = files.filter(({ file }) => PHOTO.test(file.name) || (file.type.startsWith("image/") && !file.name.includes(".")));
  const videos = files.filter(({ file }) => VIDEO.test(file.name));
  if (videos.length > 1 || (videos.length && photos.length)) {
    throw new Error(fill(words.uploadMixed, { photos: photos.length, videos: videos.length }));
  }
  const others = files.filter((each) => !photos.includes(each) && !videos.includes(each)).map(({ file }) => file.name);
  if (!photos.length && !videos.length) throw new Error(words.uploadNothing);
  if (others.length) tell("warn", fill(words.uploadOther, { names: others.slice(0, 5).join(", ") + (others.length > 5 ? " ..." : "") }));
  if (videos.length) {
    progress(0, 1);
    const { name } = await send(videos[0].file, "", signal);
    progress(1, 1);
    await choose(node, name);
    tell("success", fill(words.uploadedVideo, { name }));
    return;
  }
  await uploadPhotos(node, photos, newFolder(node, files.folder), signal, progress);
}

async function uploadPhotos(node, photos, folder, signal, progress) {
  const total = photos.length;
  let done = 0;
  try {
    for (const { file, folder: inside } of photos) {
      progress(done, total);
      await send(file, [folder, inside].filter(Boolean).join("/"), signal);
      done += 1;
    }
  } catch (error) {
    if (done) await choose(node, folder);
    if (!signal.aborted) throw error;
    tell("warn", fill(words.uploadCancelled, { done, total, folder }));
    return;
  }
  await choose(node, [folder, photos[0].folder].filter(Boolean).join("/"));
  tell("success", fill(words.uploaded, { count: done, folder }));
}

async function send(file, subfolder, signal) {
  const body = new FormData();
  body.append("image", file, file.name);
  body.append("type", "input");
  if (subfolder) body.append("subfolder", subfolder);
  const answer = await api.fetchApi("/upload/image", { method: "POST", body, signal });
  if (answer.ok) return answer.json();
  const reason = answer.status === 413 ? words.tooLarge : `${answer.status} ${answer.statusText}`;
  throw new Error(fill(words.uploadFailed, { name: file.name, reason }));
}

// A name that nothing below the input folder has yet: that of the folder that was dropped, else the time.
function newFolder(node, wanted) {
  const time = new Date(Date.now() - 60_000 * new Date().getTimezoneOffset()).toISOString();
  const name = wanted ?? `photos_${time.slice(0, 19).replace("T", "_").replaceAll(/[-:]/g, "")}`;
  const taken = sourceOf(node).options.values;
  const isTaken = (each) => (Array.isArray(taken) ? taken : taken()).includes(each);
  let number = 1;
  while (isTaken(number > 1 ? `${name}_${number}` : name)) number += 1;
  return number > 1 ? `${name}_${number}` : name;
}

async function choose(node, source) {
  await app.refreshComboInNodes?.(); // every node that offers folders learns of the new one
  const widget = sourceOf(node);
  const { values } = widget.options;
  if (Array.isArray(values) && !values.includes(source)) values.push(source);
  widget.value = source;
  widget.callback?.(source);
  app.canvas?.setDirty(true, true);
}

// Files of what was dropped, with their folders below the one that was dropped alone.
async function collect(entries) {
  const isAlone = entries.length === 1 && entries[0].isDirectory;
  const found = await Promise.all(entries.map((entry) => filesIn(entry, isAlone ? "" : entry.isDirectory ? entry.name : "")));
  return found.flat().sort((a, b) => `${a.folder}/${a.file.name}`.localeCompare(`${b.folder}/${b.file.name}`, undefined, { numeric: true }));
}

async function filesIn(entry, folder) {
  if (entry instanceof File) return [{ file: entry, folder }];
  if (entry.isFile) return [{ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), folder }];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // at most 100 at a time
    if (!some.length) break;
    found.push(...some);
  }
  const inside = found.filter((each) => !each.name.startsWith("."));
  return (await Promise.all(inside.map((each) => filesIn(each, each.isDirectory ? [folder, each.name].filter(Boolean).join("/") : folder)))).flat();
}

function sourceOf(node) {
  return node.widgets.find((widget) => widget.name === "source");
}

function label(node, button, text) {
  button.label = text;
  node.setDirtyCanvas?.(true, true);
}

function tell(severity, detail) {
  app.extensionManager.toast.add({ severity, summary: "ManyView", detail, life: severity === "success" ? 5000 : 12_000 });
}
