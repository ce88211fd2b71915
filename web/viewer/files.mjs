/** Files that are dropped on the page or chosen: a PLY file, a JSON file of cameras, or both. */
import { Problem } from "./data/problem.mjs";

/** @typedef {import("./viewer.mjs").Viewer} Viewer */

/** @param {Viewer} viewer @param {File[]} files */
export function openFiles(viewer, files) {
    const isCameras = (/** @type {File} */ file) => /\.json$/i.test(file.name);
    const isCloud = (/** @type {File} */ file) => /\.ply$/i.test(file.name);
    const stranger = files.find((file) => !isCameras(file) && !isCloud(file));
    if (stranger) {
        viewer.emit("problem", new Problem("file.kind", { name: stranger.name }));
        return;
    }
    const cloud = files.find(isCloud);
    const cameras = files.find(isCameras);
    if (!cloud && !cameras) return;
    // cameras alone join the cloud that is shown
    const loading = cloud ? viewer.load({ cloud, cameras }) : viewer.loadCamerasOnly(cameras);
    loading.catch(() => { /* told by the signal "problem" */ });
}

/** @param {Viewer} viewer @param {HTMLElement} area */
export function acceptDrops(viewer, area) {
    const mark = (/** @type {boolean} */ isOver) => area.classList.toggle("dropping", isOver);
    window.addEventListener("dragover", (event) => {
        event.preventDefault();
        mark(true);
    });
    window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) mark(false); });
    window.addEventListener("drop", (event) => {
        event.preventDefault();
        mark(false);
        openFiles(viewer, [...event.dataTransfer.files]);
    });
}
