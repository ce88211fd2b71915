/** The settings panel. */
import { OPTIONS, initialOptions } from "../scene/options.mjs";
import { clipControls } from "./clip_controls.mjs";
import { confidenceControls } from "./confidence_controls.mjs";
import { h, show } from "./dom.mjs";
import { FrameList } from "./frame_list.mjs";
import { icon } from "./icons.mjs";
import { factors, follow, section, segments, select, slider, toggle } from "./option_controls.mjs";
import { t } from "./strings.mjs";

/** @typedef {import("../viewer.mjs").Viewer} Viewer */

const KEPT = ["panel", "filmstrip"]; // what "reset" leaves alone

/** @param {Viewer} viewer @returns {HTMLElement} */
export function panel(viewer) {
    const close = h("button.plain", { type: "button", title: t("close"), "aria-label": t("close"),
        onclick: () => viewer.setOptions({ panel: false }) }, icon("close"));
    const reset = h("button.text", { type: "button", onclick: () => resetOptions(viewer) }, t("reset"));
    const element = h("aside.panel", { "aria-label": t("panel") },
        h("header", {}, h("h2", {}, t("panel")), reset, close),
        h("div.sections", {},
            section(t("section.points"), true, ...pointControls(viewer)),
            section(t("section.confidence"), true, confidenceControls(viewer)),
            section(t("section.frames"), false, new FrameList(viewer).element),
            section(t("section.cameras"), true, ...cameraControls(viewer)),
            section(t("section.view"), true, ...viewControls(viewer)),
            section(t("section.clip"), false, clipControls(viewer))));
    follow(viewer, "panel", (isOpen) => show(element, isOpen));
    return element;
}

/** @param {Viewer} viewer */
function resetOptions(viewer) {
    const initial = initialOptions();
    for (const name of KEPT) delete initial[name];
    viewer.setOptions(initial);
    viewer.decided.clear();
    viewer.choosePath();
}

/** @param {Viewer} viewer */
function pointControls(viewer) {
    const times = (/** @type {number} */ value) => `${value.toFixed(value < 1 ? 2 : 1)}\u00d7`;
    const about = { label: t("size") };
    const world = slider(viewer, "worldSize", { ...about, format: times, scale: factors(0.1, 8) });
    const pixels = slider(viewer, "pixelSize", { ...about, format: (value) => `${value.toFixed(1)} px`, scale: factors(1, 20) });
    follow(viewer, "sizeMode", (mode) => {
        show(world, mode === "world");
        show(pixels, mode === "pixels");
    });
    return [
        h("div.label", {}, t("color")),
        segments(viewer, "color", t("color")),
        world,
        pixels,
        segments(viewer, "sizeMode", t("size")),
        slider(viewer, "shading", { label: t("shading"), format: percent }),
        toggle(viewer, "hideBacks"),
    ];
}

/** @param {Viewer} viewer */
function cameraControls(viewer) {
    const times = (/** @type {number} */ value) => `${value.toFixed(value < 1 ? 2 : 1)}\u00d7`;
    return [
        toggle(viewer, "frusta", t("cameras.show")),
        toggle(viewer, "photos", t("cameras.photos")),
        toggle(viewer, "trajectory", t("cameras.trajectory")),
        slider(viewer, "cameraSize", { label: t("cameraSize"), format: times, scale: factors(0.1, 8) }),
        slider(viewer, "photoOpacity", { label: t("photoOpacity"), format: percent }),
    ];
}

/** @param {Viewer} viewer */
function viewControls(viewer) {
    return [
        h("div.label", {}, t("navigation")),
        segments(viewer, "navigation", t("navigation")),
        h("div.label", {}, t("projection")),
        segments(viewer, "projection", t("projection")),
        h("div.label", {}, t("background")),
        backgrounds(viewer),
        select(viewer, "up", (choice) => (choice === "auto" ? t("up.auto") : choice.toUpperCase())),
        toggle(viewer, "grid"),
        toggle(viewer, "axes"),
    ];
}

/** @param {Viewer} viewer */
function backgrounds(viewer) {
    const { choices } = /** @type {import("../scene/options.mjs").ColorOption} */ (OPTIONS.background);
    const named = choices.map((choice) => h("button.swatch", {
        type: "button", title: t(`background.${choice}`), "aria-label": t(`background.${choice}`), "data-choice": choice,
        onclick: () => viewer.setOptions({ background: choice }),
    }));
    const own = h("input.swatch", {
        type: "color", title: t("background.own"), "aria-label": t("background.own"), value: "#335577",
        oninput: () => viewer.setOptions({ background: own.value }),
    });
    follow(viewer, "background", (value) => {
        for (const button of named) button.setAttribute("aria-pressed", String(button.dataset.choice === value));
        if (value.startsWith("#")) own.value = value;
        own.classList.toggle("chosen", value.startsWith("#"));
    });
    return h("div.swatches", { role: "group", "aria-label": t("background") }, ...named, own);
}

/** @param {number} value */
const percent = (value) => `${Math.round(100 * value)} %`;
