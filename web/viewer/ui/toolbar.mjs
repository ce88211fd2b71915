/** The row of tools. */
import { h, show } from "./dom.mjs";
import { icon } from "./icons.mjs";
import { follow } from "./option_controls.mjs";
import { saveScreenshot } from "./screenshot.mjs";
import { t } from "./strings.mjs";

/** @typedef {import("../viewer.mjs").Viewer} Viewer */

/** @param {Viewer} viewer @param {{toggleHelp: () => void}} others */
export function toolbar(viewer, { toggleHelp }) {
    const flip = (/** @type {string} */ name) => () => viewer.setOptions({ [name]: !viewer.options[name] });
    const measure = button("measure", "M", () => viewer.setMeasuring(!viewer.measure.active));
    viewer.on("pick measuring", () => press(measure, viewer.measure.active));
    return h("div.toolbar", { role: "toolbar", "aria-label": t("toolbar") },
        button("home", "H", () => viewer.navigation.home()),
        viewsMenu(viewer),
        followed(viewer, "frusta", button("cameras", "C", flip("frusta"))),
        measure,
        button("screenshot", "I", () => saveScreenshot(viewer)),
        followed(viewer, "filmstrip", button("filmstrip", "T", flip("filmstrip"))),
        button("fullscreen", "", toggleFullscreen),
        button("help", "?", toggleHelp),
        followed(viewer, "panel", button("panel", "N", flip("panel"), "settings")));
}

/** @param {string} name @param {string} key @param {() => void} onclick @param {any} [picture] */
function button(name, key, onclick, picture = name) {
    const title = key ? `${t(name)} (${key})` : t(name);
    return h("button.tool", { type: "button", title, "aria-label": t(name), "data-tool": name, onclick }, icon(picture));
}

/** @param {HTMLElement} element @param {boolean} isOn */
const press = (element, isOn) => element.setAttribute("aria-pressed", String(isOn));

/** @param {Viewer} viewer @param {string} name @param {HTMLElement} element */
function followed(viewer, name, element) {
    follow(viewer, name, (value) => press(element, value));
    return element;
}

/** Top, front, side and the projection. @param {Viewer} viewer */
function viewsMenu(viewer) {
    const item = (/** @type {string} */ word, /** @type {() => void} */ run) => h("button.item", {
        type: "button", role: "menuitem", onclick: () => { run(); close(); } }, word);
    const sides = ["top", "front", "side"].map((side) =>
        item(t(`view.${side}`), () => viewer.navigation.lookFrom(/** @type {any} */ (side))));
    const projections = ["perspective", "orthographic"].map((projection) =>
        item(t(`projection.${projection}`), () => viewer.setOptions({ projection })));
    const whole = item(t("view.whole"), () => viewer.navigation.whole());
    const menu = h("div.menu", { role: "menu", hidden: true }, whole, ...sides, h("hr"), ...projections);
    const opener = button("views", "1 2 3", () => { if (menu.hidden) open(); else close(); });
    opener.setAttribute("aria-haspopup", "menu");
    const outside = (/** @type {Event} */ event) => { if (!holder.contains(/** @type {Node} */ (event.target))) close(); };
    const open = () => {
        show(menu, true);
        press(opener, true);
        menu.querySelector("button").focus();
        document.addEventListener("pointerdown", outside, true);
    };
    const close = () => {
        show(menu, false);
        press(opener, false);
        document.removeEventListener("pointerdown", outside, true);
    };
    const onkeydown = (/** @type {KeyboardEvent} */ event) => {
        if (event.key !== "Escape" || menu.hidden) return;
        event.stopPropagation();
        close();
        opener.focus();
    };
    const holder = h("div.holder", { onkeydown }, opener, menu);
    return holder;
}

function toggleFullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen().catch(() => { /* the embedding page forbids it */ });
}
