/** What is known of the picked point, and the measuring of a distance. */
import { METERS } from "../scene/measure.mjs";
import { h, show } from "./dom.mjs";
import { icon } from "./icons.mjs";
import { lengthText } from "./legend.mjs";
import { formatMeasure, t } from "./strings.mjs";

/** @typedef {import("../viewer.mjs").Viewer} Viewer */

/** @param {Viewer} viewer */
export function pointCard(viewer) {
    const title = h("h2");
    const hint = h("p.hint");
    const rows = h("dl");
    const scale = scaleForm(viewer);
    const close = h("button.plain", { type: "button", title: t("close"), "aria-label": t("close"), onclick: () => {
        viewer.setMeasuring(false);
        viewer.clearPoints();
    } }, icon("close"));
    const element = h("section.card", { "aria-live": "polite" }, h("header", {}, title, copyButton(viewer), close), hint, rows, scale.element);
    const update = () => {
        const { measure } = viewer;
        const { points, active } = measure;
        show(element, active || points.length > 0);
        title.textContent = t(active ? "measure" : "point");
        hint.textContent = active && points.length < 2 ? t(points.length ? "measure.second" : "measure.first") : "";
        show(hint, Boolean(hint.textContent));
        rows.replaceChildren(...(points.length === 2 ? distanceRows(viewer) : points.flatMap((point) => pointRows(viewer, point))));
        scale.update();
    };
    viewer.on("pick measuring scale cloud", update);
    update();
    return element;
}

/** @param {string} word @param {...(Node | string)} value */
const row = (word, ...value) => [h("dt", {}, word), h("dd", {}, ...value)];

/** @param {Viewer} viewer @param {import("../scene/measure.mjs").PickedPoint} point */
function pointRows(viewer, point) {
    const { position, frame, name, confidence, rank, depth, color } = point;
    const dot = h("span.dot", { style: `background: rgb(${color})` });
    const rows = row(t("point.position"), dot, position.map(formatMeasure).join(", "));
    if (frame !== null) rows.push(...row(t("point.frame"), name ? `${frame} \u00b7 ${name}` : String(frame)));
    if (confidence !== null) {
        const more = t("point.rank", { percent: Math.floor(rank) });
        rows.push(...row(t("point.confidence"), formatMeasure(confidence), h("small", {}, more)));
    }
    if (depth !== null) rows.push(...row(t("point.depth"), lengthText(viewer, depth)));
    return rows;
}

/** @param {Viewer} viewer */
function distanceRows(viewer) {
    const { measure } = viewer;
    const names = measure.points.map(({ frame, name }) => name || (frame === null ? "\u2013" : t("frame", { frame })));
    const units = measure.meters === null ? [] : [h("small", {}, `${formatMeasure(measure.units)} ${t("units")}`)];
    return [
        ...row(t("measure.distance"), h("strong", {}, lengthText(viewer, measure.units)), ...units),
        ...row(t("point.frame"), [...new Set(names)].join(", ")),
    ];
}

/** The real length of what was measured. @param {Viewer} viewer */
function scaleForm(viewer) {
    const length = h("input", { type: "number", min: "0", step: "any", required: true, "aria-label": t("measure.known"), "data-measure": "length" });
    const unit = h("select", { "aria-label": t("measure.unit") }, ...Object.keys(METERS).map((name) => h("option", { value: name }, name)));
    const onsubmit = (/** @type {Event} */ event) => {
        event.preventDefault();
        viewer.calibrate(Number(length.value), unit.value);
    };
    const form = h("form.known", { onsubmit }, h("label", {}, t("measure.known")), length, unit, h("button.text", { type: "submit" }, t("measure.set")));
    const known = h("p.note");
    const clear = h("button.text", { type: "button", onclick: () => viewer.clearPoints() }, t("measure.clear"));
    const update = () => {
        const { measure } = viewer;
        show(form, measure.points.length === 2);
        show(clear, measure.points.length === 2);
        show(known, measure.metersPerUnit !== null && measure.active);
        if (measure.metersPerUnit) known.textContent = t("measure.scale", { meters: formatMeasure(measure.metersPerUnit) });
    };
    return { element: h("div.scale", {}, form, known, clear), update };
}

/** @param {Viewer} viewer */
function copyButton(viewer) {
    const button = h("button.plain", { type: "button", title: t("point.copy"), "aria-label": t("point.copy"), onclick: async () => {
        const text = viewer.measure.points.map(({ position }) => position.join(" ")).join("\n");
        await navigator.clipboard?.writeText(text).then(() => { button.title = t("point.copied"); }, () => { /* forbidden here */ });
    } }, icon("copy"));
    viewer.on("pick measuring", () => show(button, viewer.measure.points.length > 0));
    return button;
}
