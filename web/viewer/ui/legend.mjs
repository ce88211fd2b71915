/** What the colours mean. */
import { CONFIDENCE, DEPTH, HEIGHT, gradient } from "../scene/color_maps.mjs";
import { h, show } from "./dom.mjs";
import { formatMeasure, t } from "./strings.mjs";

/** @typedef {import("../viewer.mjs").Viewer} Viewer */

/** @param {Viewer} viewer */
export function legend(viewer) {
    const title = h("span.title");
    const bar = h("span.bar");
    const ends = [h("span"), h("span")];
    const element = h("div.legend", {}, title, bar, h("span.ends", {}, ...ends));
    const update = () => {
        const { color } = viewer.options;
        const about = color === "rgb" ? null : describe(viewer, color);
        show(element, color !== "rgb" && Boolean(viewer.cloud));
        title.textContent = t(`color.${color}`) + (color !== "rgb" && !about ? `: ${t("legend.none")}` : "");
        show(bar, Boolean(about));
        show(/** @type {any} */ (ends[0].parentElement), Boolean(about));
        if (!about) return;
        bar.style.background = about.background;
        [ends[0].textContent, ends[1].textContent] = about.ends;
    };
    viewer.on("cloud scale", update);
    viewer.on("options", update);
    update();
    return element;
}

/** Colours from left to right and the words at both ends; null where the file does not say. @param {Viewer} viewer @param {string} color */
function describe(viewer, color) {
    const { cloud, layout, depths, frames, colors } = viewer;
    if (!cloud) return null;
    if (color === "confidence") {
        const { sorted } = cloud;
        const ends = sorted.length ? [sorted[0], sorted[sorted.length - 1]].map(formatMeasure) : [];
        return sorted.length ? { background: gradient(CONFIDENCE), ends } : null;
    }
    if (color === "frame") {
        const first = frames.filter((frame) => cloud.frameCounts.has(frame));
        const ends = [String(first[0]), String(first[first.length - 1])];
        return first.length ? { background: gradient(first.map((frame) => colors.get(frame)).concat(first.length > 1 ? [] : [colors.get(first[0])])), ends } : null;
    }
    const range = color === "depth" ? depths : layout.heights.map((height) => height - layout.low[1]);
    const stops = color === "depth" ? DEPTH : HEIGHT;
    return range && { background: gradient(stops), ends: range.map((value) => lengthText(viewer, value)) };
}

/** A length in metres where the scale is known, else in the scene's units. @param {Viewer} viewer @param {number} units */
export function lengthText(viewer, units) {
    const { metersPerUnit } = viewer.measure;
    if (!metersPerUnit) return `${formatMeasure(units)} ${t("units")}`;
    const meters = units * metersPerUnit;
    if (Math.abs(meters) < 0.01) return `${formatMeasure(meters * 1000)} mm`;
    return Math.abs(meters) < 1 ? `${formatMeasure(meters * 100)} cm` : `${formatMeasure(meters)} m`;
}
