/** Controls of the settings panel, each bound to an option: what is set elsewhere shows here, and the other way round. */
import { OPTIONS } from "../scene/options.mjs";
import { h } from "./dom.mjs";
import { t } from "./strings.mjs";

/** @typedef {import("../viewer.mjs").Viewer} Viewer */

/** Call `update` with the value of an option now and whenever it changes. @param {Viewer} viewer @param {string} name @param {(value: any) => void} update */
export function follow(viewer, name, update) {
    viewer.on("options", (changed) => { if (name in changed) update(changed[name]); });
    update(viewer.options[name]);
}

/** A switch with its label. @param {Viewer} viewer @param {string} name @param {string} [label] */
export function toggle(viewer, name, label = t(name)) {
    const box = h("input", { type: "checkbox", onchange: () => viewer.setOptions({ [name]: box.checked }) });
    follow(viewer, name, (value) => { box.checked = value; });
    return h("label.toggle", {}, box, h("span.track"), h("span", {}, label));
}

/** A row of choices. @param {Viewer} viewer @param {string} name @param {string} label */
export function segments(viewer, name, label) {
    const { choices } = /** @type {import("../scene/options.mjs").Choice} */ (OPTIONS[name]);
    const buttons = choices.map((choice) => h("button.segment", {
        type: "button", onclick: () => viewer.setOptions({ [name]: choice }), "data-choice": choice,
    }, t(`${name}.${choice}`)));
    follow(viewer, name, (value) => {
        for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.choice === value));
    });
    return h("div.segments", { role: "group", "aria-label": label, "data-option": name }, ...buttons);
}

/** A list to choose from. @param {Viewer} viewer @param {string} name @param {(choice: string) => string} word */
export function select(viewer, name, word) {
    const { choices } = /** @type {import("../scene/options.mjs").Choice} */ (OPTIONS[name]);
    const options = choices.map((choice) => h("option", { value: choice }, word(choice)));
    const list = h("select", { onchange: () => viewer.setOptions({ [name]: list.value }) }, ...options);
    follow(viewer, name, (value) => { list.value = value; });
    return h("label.row", {}, h("span", {}, t(name)), list);
}

/**
 * A slider. `scale` turns a place on it (0..1) into the value and back; without one it is even.
 *
 * @param {Viewer} viewer
 * @param {string} name
 * @param {{label: string, format: (value: number) => string, range?: [number, number], scale?: Scale}} about
 * @typedef {{toValue: (place: number) => number, toPlace: (value: number) => number}} Scale
 */
export function slider(viewer, name, { label, format, range, scale }) {
    const { low, high } = /** @type {import("../scene/options.mjs").NumberOption} */ (OPTIONS[name]);
    const [from, to] = range || [low, high];
    const { toValue, toPlace } = scale || {
        toValue: (place) => from + place * (to - from), toPlace: (value) => (value - from) / (to - from),
    };
    const shown = h("output");
    const input = h("input", {
        type: "range", min: "0", max: "1", step: "any", "aria-label": label, "data-option": name,
        oninput: () => viewer.setOptions({ [name]: toValue(Number(input.value)) }),
        ondblclick: () => viewer.setOptions({ [name]: OPTIONS[name].initial }),
        onkeydown: (/** @type {KeyboardEvent} */ event) => {
            const step = { ArrowLeft: -0.01, ArrowDown: -0.01, ArrowRight: 0.01, ArrowUp: 0.01 }[event.key];
            if (!step) return;
            event.preventDefault();
            viewer.setOptions({ [name]: toValue(Math.min(1, Math.max(0, toPlace(viewer.options[name]) + step))) });
        },
    });
    const update = (/** @type {number} */ value) => {
        input.value = String(toPlace(value));
        input.style.setProperty("--filled", String(Math.min(1, Math.max(0, toPlace(value)))));
        shown.textContent = format(value);
        input.setAttribute("aria-valuetext", shown.textContent);
    };
    follow(viewer, name, update);
    const element = h("label.slider", {}, h("span", {}, label), shown, input);
    return Object.assign(element, { update: () => update(viewer.options[name]) });
}

/** Even steps are even factors. @param {number} low @param {number} high @returns {Scale} */
export function factors(low, high) {
    return {
        toValue: (place) => low * (high / low) ** place,
        toPlace: (value) => Math.log(value / low) / Math.log(high / low),
    };
}

/** A part of the panel that folds. @param {string} title @param {boolean} isOpen @param {...Node} children */
export function section(title, isOpen, ...children) {
    return h("details.section", { open: isOpen }, h("summary", {}, title), h("div.content", {}, ...children));
}
