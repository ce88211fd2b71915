// The 3D viewer in a frame. props.value is JSON: {cloud, cameras, scene, options, unit}; files by address. Two viewers of a
// pair look alike: whichever the visitor uses tells its pose, and the other takes it, in its own unit.
const frame = element.querySelector("iframe");
const empty = element.querySelector(".mv-empty");
const pair = element.closest("#viewer-a, #viewer-b");
const isDark = document.body.classList.contains("dark");
const language = (navigator.language || "en").slice(0, 2);
const address = new URL("manyview/viewer.html", document.baseURI);
address.search = new URLSearchParams({ lang: language, theme: isDark ? "dark" : "light", background: isDark ? "dark" : "light" });
frame.src = address.href;
let isReady = false;
let seen = null;
let shownOptions = {};
let waiting = null;
let unit = 1;

function ask(request, about) {
  frame.contentWindow.postMessage({ manyview: request, ...about }, window.location.origin);
}

function show() {
  if (!isReady || !props.value) return;
  const { cloud, cameras, scene, options, unit: own = 1 } = JSON.parse(props.value);
  if (!cloud) return;
  const at = (path) => new URL(path, document.baseURI).href;
  empty.hidden = true;
  unit = own;
  shownOptions = { ...shownOptions, ...options };
  ask("load", { cloud: at(cloud), cameras: at(cameras), keepView: scene === seen, options });
  seen = scene;
}

function scaled(pose, factor) {
  return { ...pose, eye: pose.eye.map((value) => factor * value), distance: factor * pose.distance };
}

if (pair) {
  for (const name of ["pointerenter", "focusin"]) element.addEventListener(name, () => { document.mvLeader = pair.id; });
  document.addEventListener("manyview-pose", ({ detail }) => {
    if (detail.from !== pair.id && isReady && seen !== null) ask("pose", { pose: scaled(detail.pose, unit) });
  });
}

window.addEventListener("message", ({ source, origin, data }) => {
  if (source !== frame.contentWindow || origin !== window.location.origin || data?.manyview !== "event") return;
  if (data.event === "ready") {
    isReady = true;
    if (pair) ask("follow", {});
    show();
  } else if (data.event === "loaded") {
    element.dataset.points = data.state.points;
    trigger("shown", { points: data.state.points });
    if (pair && document.mvPose && document.mvPose.from !== pair.id) ask("pose", { pose: scaled(document.mvPose.pose, unit) });
  } else if (data.event === "pose" && pair && (document.mvLeader || "viewer-a") === pair.id) {
    document.mvPose = { from: pair.id, pose: scaled(data.pose, 1 / unit) };
    document.dispatchEvent(new CustomEvent("manyview-pose", { detail: document.mvPose }));
  } else if (data.event === "options") {
    shownOptions = { ...shownOptions, ...data.options };
    clearTimeout(waiting);
    waiting = setTimeout(() => trigger("looked", { options: shownOptions }), 600);
  } else if (data.event === "distance") {
    trigger("measured", { units: data.units, meters: data.meters });
  } else if (data.event === "scale" && data.units) {
    trigger("scaled", { units: data.units, meters: data.meters, factor: data.metersPerUnit });
  } else if (data.event === "problem") {
    trigger("refused", { text: data.text });
  }
});
watch("value", show);
