/** The threshold of confidence, by share of the points or by value; changing from one to the other keeps the points. */
import { h, show } from "./dom.mjs";
import { follow, segments, slider } from "./option_controls.mjs";
import { formatMeasure, t } from "./strings.mjs";

/** @typedef {import("../viewer.mjs").Viewer} Viewer */

/** @param {Viewer} viewer */
export function confidenceControls(viewer) {
    const range = (/** @type {number} */ end) => {
        const sorted = viewer.cloud?.sorted;
        return sorted?.length ? sorted[end ? sorted.length - 1 : 0] : end;
    };
    const byRank = slider(viewer, "confidenceRank", {
        label: t("confidence.rank"), format: (value) => `${value.toFixed(value && value < 10 ? 1 : 0)} %`,
    });
    const byValue = slider(viewer, "confidenceValue", {
        label: t("confidence.value"),
        format: formatMeasure,
        scale: {
            toValue: (place) => range(0) + place * (range(1) - range(0)),
            toPlace: (value) => (value - range(0)) / (range(1) - range(0) || 1),
        },
    });
    const bars = h("canvas.histogram", { width: 220, height: 34, "aria-hidden": "true" });
    const ways = segments(viewer, "confidenceBy", t("section.confidence"));
    const none = h("p.note", {}, t("confidence.none"));
    const controls = h("div.group", {}, ways, bars, byRank, byValue);
    follow(viewer, "confidenceBy", (way) => {
        convert(viewer, way);
        show(byRank, way === "rank");
        show(byValue, way === "value");
    });
    const redraw = () => drawHistogram(bars, viewer);
    viewer.on("cloud", () => {
        show(controls, Boolean(viewer.cloud?.confidence));
        show(none, !viewer.cloud?.confidence);
        byValue.update();
        redraw();
    });
    viewer.on("options", redraw);
    show(controls, false);
    return h("div.group", {}, controls, none);
}

/** The threshold that hides the same points in the other way of saying it. @param {Viewer} viewer @param {string} way */
function convert(viewer, way) {
    const { cloud, options } = viewer;
    if (!cloud?.confidence) return;
    if (way === "value") {
        const value = cloud.confidenceAt(options.confidenceRank);
        viewer.setOptions({ confidenceValue: Number.isFinite(value) ? value : cloud.sorted[0] });
    } else viewer.setOptions({ confidenceRank: cloud.percentBelow(Math.fround(options.confidenceValue)) });
}

/** How many points have which confidence; those below the threshold pale. @param {HTMLCanvasElement} canvas @param {Viewer} viewer */
function drawHistogram(canvas, viewer) {
    const sorted = viewer.cloud?.sorted;
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (!sorted?.length) return;
    const [low, high] = [sorted[0], sorted[sorted.length - 1]];
    const counts = new Float64Array(canvas.width / 4);
    for (let i = 0; i < sorted.length; i += Math.ceil(sorted.length / 20_000)) {
        counts[Math.min(counts.length - 1, Math.floor(((sorted[i] - low) / (high - low || 1)) * counts.length))] += 1;
    }
    const most = Math.sqrt(Math.max(...counts));
    pen.fillStyle = getComputedStyle(canvas).color;
    counts.forEach((count, i) => {
        const tall = Math.sqrt(count) / most * canvas.height;
        pen.globalAlpha = low + ((i + 0.5) / counts.length) * (high - low) < viewer.least ? 0.25 : 0.85;
        pen.fillRect(4 * i, canvas.height - tall, 3, tall);
    });
}
