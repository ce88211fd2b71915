// Preview: the viewer in a frame of its own. A new result is loaded into the viewer that is there, and the view stays.

export function addViewer(node, { addWidget, onResult, fileUrl, language, isDark }) {
  const frame = document.createElement("iframe");
  frame.title = "Point cloud and cameras";
  frame.allow = "fullscreen";
  frame.style.cssText = "width:100%;height:100%;min-height:420px;border:0;border-radius:6px;display:block;background:#1b1d22";
  const page = new URL("viewer.html", import.meta.url);
  page.search = new URLSearchParams({ lang: language, theme: isDark ? "dark" : "light" });
  frame.src = page.href;
  addWidget(node, "viewer", frame, () => 420);
  const [width, height] = node.computeSize();
  node.setSize([Math.max(node.size[0], width, 640), Math.max(node.size[1], height, 560)]);

  let isReady = false;
  let shown = null; // the files of the newest result
  let seen = null; // which scene they are of: another filter of the same scene leaves the view where it is
  const show = () => {
    if (!isReady || !shown) return;
    frame.contentWindow.postMessage({ manyview: "load", ...shown }, window.location.origin);
  };
  const listen = ({ source, origin, data }) => {
    if (source !== frame.contentWindow || origin !== window.location.origin || data?.manyview !== "event") return;
    if (data.event === "ready") {
      isReady = true; // again after the page has moved the frame, which starts it anew
      show();
    }
  };
  window.addEventListener("message", listen);
  const removed = node.onRemoved;
  node.onRemoved = function () {
    window.removeEventListener("message", listen);
    removed?.apply(this, arguments);
  };
  onResult(node, (output) => {
    if (!output?.manyview_preview) return;
    const [cloud, cameras] = output.manyview_preview.map(fileUrl);
    const [scene] = output.manyview_scene;
    shown = { cloud, cameras, keepView: scene === seen };
    seen = scene;
    show();
  });
}
