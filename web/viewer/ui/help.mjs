/** The list of keys and mouse actions. */
import { h } from "./dom.mjs";
import { icon } from "./icons.mjs";
import { t } from "./strings.mjs";

const MOUSE = ["drag", "shift", "wheel", "double", "click"];
const NAMES = { ArrowRight: "\u2192", ArrowLeft: "\u2190", Escape: "Esc", " ": "\u2423" };

/** @param {() => {keys: string[], word: string}[]} actions asked for when it opens */
export function help(actions) {
    const close = h("button.plain", { type: "button", title: t("close"), "aria-label": t("close"), onclick: () => dialog.close() }, icon("close"));
    const body = h("div.columns");
    const dialog = h("dialog.help", { "aria-label": t("help"), onclick: (/** @type {Event} */ event) => {
        if (event.target === dialog) dialog.close(); // beside it
    } }, h("header", {}, h("h2", {}, t("help")), close), body);
    const toggle = () => {
        if (dialog.open) {
            dialog.close();
            return;
        }
        const fly = { keys: ["W", "A", "S", "D", "Q", "E"], word: "help.fly" };
        const mouse = MOUSE.map((name) => row([t(`help.${name}`)], t(`help.${name}.does`), false));
        const keys = [fly, ...actions()].map(({ keys: names, word }) => row(names, t(word), true));
        body.replaceChildren(table(t("help.mouse"), mouse), table(t("help.keys"), keys));
        dialog.showModal();
    };
    return { dialog, toggle };
}

/** @param {string[]} names @param {string} does @param {boolean} areKeys */
function row(names, does, areKeys) {
    const keys = names.map((name) => (areKeys ? h("kbd", {}, NAMES[name] || (name.length === 1 ? name.toUpperCase() : name)) : name));
    return h("tr", {}, h("th", {}, ...keys), h("td", {}, does));
}

/** @param {string} title @param {Node[]} rows */
const table = (title, rows) => h("section", {}, h("h3", {}, title), h("table", {}, h("tbody", {}, ...rows)));
