/** What stands in the middle: that nothing is there yet, progress, what went wrong; and warnings above. */
import { h, show } from "./dom.mjs";
import { icon } from "./icons.mjs";
import { formatNumber, t } from "./strings.mjs";

/** @typedef {import("../viewer.mjs").Viewer} Viewer */

/** @param {Viewer} viewer @param {(files: File[]) => void} openFiles */
export function messages(viewer, openFiles) {
    const [loading, problem, empty, lost] = [loadingMessage(viewer), problemMessage(viewer), emptyMessage(openFiles), lostMessage(viewer)];
    const all = [loading, problem, empty, lost];
    const only = (/** @type {HTMLElement | null} */ one) => all.forEach((element) => show(element, element === one));
    const rest = () => (viewer.cloud || viewer.set.cameras.length ? null : empty);
    only(rest());
    viewer.on("progress", () => only(loading));
    viewer.on("cloud dismissed", () => only(rest()));
    viewer.on("canvas", () => only(rest()));
    viewer.on("problem", () => only(problem));
    viewer.on("lost", () => only(lost));
    return h("div.messages", {}, ...all, warning(viewer));
}

/** @param {Viewer} viewer */
function loadingMessage(viewer) {
    const bar = h("progress", { max: 1, "aria-label": t("message.loading") });
    const words = h("p");
    viewer.on("progress", ({ bytes, total, points, announced }) => {
        const share = announced ? points / announced : total ? bytes / total : null;
        if (share === null) bar.removeAttribute("value");
        else bar.value = share;
        if (announced && points >= announced) words.textContent = t("message.finishing");
        else if (announced) words.textContent = t("message.points", { points, announced });
        else words.textContent = bytes ? t("message.bytes", { megabytes: bytes / 1e6 }) : "";
    });
    return h("div.message.loading", { role: "status" }, h("h2", {}, t("message.loading")), bar, words);
}

/** @param {Viewer} viewer */
function problemMessage(viewer) {
    const words = h("p");
    viewer.on("problem", (problem) => { words.textContent = problemText(problem); });
    const close = h("button.text", { type: "button", onclick: () => viewer.emit("dismissed") }, t("close"));
    return h("div.message.problem", { role: "alert" }, icon("warning"), h("h2", {}, t("message.problem")), words, close);
}

/** The sentence for a Problem; other errors in their own words. @param {any} problem */
export const problemText = (problem) => (problem.key ? t(problem.key, problem.values) : String(problem.message || problem));

/** @param {(files: File[]) => void} openFiles */
function emptyMessage(openFiles) {
    const input = h("input", { type: "file", accept: ".ply,.json", multiple: true, hidden: true, onchange: () => {
        openFiles([...input.files]);
        input.value = "";
    } });
    const choose = h("button.text", { type: "button", onclick: () => input.click() }, t("message.open"));
    return h("div.message.empty", {}, icon("cloud"), h("h2", {}, t("message.empty")), h("p", {}, t("message.emptyMore")), choose, input);
}

/** @param {Viewer} viewer */
function lostMessage(viewer) {
    const again = h("button.text", { type: "button", onclick: () => viewer.start() }, t("message.restore"));
    return h("div.message.lost", { role: "alert" }, icon("warning"), h("p", {}, t("message.lost")), again);
}

/** Points that a file announced but did not have. @param {Viewer} viewer */
function warning(viewer) {
    const words = h("span");
    const close = h("button.plain", { type: "button", title: t("close"), "aria-label": t("close"), onclick: () => show(element, false) }, icon("close"));
    const element = h("div.warning", { role: "status", hidden: true }, words, close);
    viewer.on("cloud", () => {
        const dropped = viewer.cloud?.dropped || 0;
        show(element, dropped > 0);
        words.textContent = t("warning.dropped", { count: formatNumber(dropped) });
    });
    return element;
}
