// The 3D viewer in a frame. props.value is JSON: {cloud, cameras, scene, options, measure}; files by address.
const frame = element.querySelector("iframe");
const empty = element.querySelector(".mv-empty");
const isDark = document.body.classList.contains("dark");
const language = (navigator.language || "en").slice(0, 2);
const address = new URL("manyview/viewer.html", document.baseURI);
address.search = new URLSearchParams({ lang: language, theme: isDark ? "dark" : "light", background: isDark ? "dark" : "light" });
frame.src = address.href;
let isReady = false;
let seen = null;
let shownOptions = {};
let waiting = null;

function ask(request, about) {
  frame.contentWindow.postMessage({ manyview: request, ...about }, window.location.origin);
}

function show() {
  if (!isReady || !props.value) return;
  const { cloud, cameras, scene, options } = JSON.parse(props.value);
  if (!cloud) return;
  const at = (path) => new URL(path, document.baseURI).href;
  empty.hidden = true;
  shownOptions = { ...shownOptions, ...options };
  ask("load", { cloud: at(cloud), cameras: at(cameras), keepView: scene === seen, options });
  seen = scene;
}

window.addEventListener("message", ({ source, origin, data }) => {
  if (source !== frame.contentWindow || origin !== window.location.origin || data?.manyview !== "event") return;
  if (data.event === "ready") {
    isReady = true;
    show();
  } else if (data.event === "loaded") {
    element.dataset.points = data.state.points;
    trigger("shown", { points: data.state.points });
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
