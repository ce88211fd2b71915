/** Sliders of the clip box: two for each of the scene's width, height and depth. */
import { h } from "./dom.mjs";
import { follow } from "./option_controls.mjs";
import { t } from "./strings.mjs";

const AXES = ["width", "height", "depth"];
const WHOLE = [[0, 1], [0, 1], [0, 1]];

/** @param {import("../viewer.mjs").Viewer} viewer */
export function clipControls(viewer) {
    const set = (/** @type {number} */ axis, /** @type {number} */ end, /** @type {number} */ value) => {
        const box = (viewer.options.clip || WHOLE).map((/** @type {number[]} */ range) => [...range]);
        box[axis][end] = value;
        if (box[axis][0] > box[axis][1]) box[axis][1 - end] = value;
        viewer.setOptions({ clip: JSON.stringify(box) === JSON.stringify(WHOLE) ? null : box });
    };
    const rows = AXES.map((name, axis) => {
        const inputs = [0, 1].map((end) => {
            const label = t(end ? "clip.to" : "clip.from", { axis: t(`clip.${name}`) });
            const input = h("input", { type: "range", min: "0", max: "1", step: "0.005", "aria-label": label,
                "data-clip": `${name}${end}`, oninput: () => set(axis, end, Number(input.value)) });
            return input;
        });
        follow(viewer, "clip", (box) => inputs.forEach((input, end) => { input.value = String((box || WHOLE)[axis][end]); }));
        return h("div.clip", {}, h("span", {}, t(`clip.${name}`)), ...inputs);
    });
    const reset = h("button.text", { type: "button", onclick: () => viewer.setOptions({ clip: null }) }, t("reset"));
    return h("div.group", {}, ...rows, reset);
}
