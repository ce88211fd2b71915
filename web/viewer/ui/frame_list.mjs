/** The frames as a list: show or hide the points of each, look through its camera. */
import { h } from "./dom.mjs";
import { formatNumber, t } from "./strings.mjs";

/** @typedef {import("../viewer.mjs").Viewer} Viewer */

export class FrameList {
    /** @param {Viewer} viewer */
    constructor(viewer) {
        this.viewer = viewer;
        this.list = h("div.frames", { role: "list" });
        const button = (/** @type {string} */ key, /** @type {() => void} */ onclick) => h("button.text", { type: "button", onclick }, t(key));
        const buttons = h("div.buttons", {},
            button("frames.all", () => viewer.setOptions({ frames: null })),
            button("frames.none", () => viewer.setOptions({ frames: [] })),
            button("frames.alone", () => viewer.navigation.toggleAlone()));
        this.element = h("div.group", {}, buttons, this.list);
        viewer.on("cloud", () => this.build());
        viewer.on("options", (changed) => { if ("frames" in changed) this.update(); });
        viewer.on("current", () => this.update());
    }

    build() {
        const { viewer } = this;
        const counts = viewer.cloud ? viewer.cloud.frameCounts : new Map();
        this.rows = viewer.frames.map((frame) => {
            const name = viewer.cameraOf.get(frame)?.name || t("frame", { frame });
            const box = h("input", { type: "checkbox", "aria-label": t("frame.show", { name }),
                onchange: () => setShown(viewer, frame, box.checked) });
            const color = `rgb(${viewer.colors.get(frame)})`;
            const look = h("button.name", { type: "button", title: t("frame.look", { name }),
                onclick: () => lookAt(viewer, frame) }, name);
            const count = h("span.count", { title: t("frames.points", { count: counts.get(frame) || 0 }) }, formatNumber(counts.get(frame) || 0));
            const row = h("div.frame", { role: "listitem" }, box, h("span.dot", { style: `background: ${color}` }), look, count);
            return { frame, box, row };
        });
        this.list.replaceChildren(...this.rows.map(({ row }) => row));
        this.update();
    }

    update() {
        for (const { frame, box, row } of this.rows || []) {
            box.checked = !this.viewer.hidden.has(frame);
            row.classList.toggle("current", frame === this.viewer.navigation.current);
        }
    }
}

/** Look through the camera of a frame, or only mark it where it has none. @param {Viewer} viewer @param {number} frame */
export function lookAt(viewer, frame) {
    if (viewer.cameraOf.has(frame)) viewer.navigation.look(frame);
    else viewer.navigation.setCurrent(frame);
}

/** Show or hide the points of one frame. @param {Viewer} viewer @param {number} frame @param {boolean} isShown */
export function setShown(viewer, frame, isShown) {
    const frames = viewer.frames.filter((each) => (each === frame ? isShown : !viewer.hidden.has(each)));
    viewer.setOptions({ frames: frames.length === viewer.frames.length ? null : frames });
}
