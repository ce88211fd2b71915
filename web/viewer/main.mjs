/** Puts the page together: viewer, tools, panels, and what the address asks for (docs/viewer.md lists the parameters). */
import { Controls } from "./controls.mjs";
import { Embedder } from "./embedder.mjs";
import { acceptDrops, openFiles } from "./files.mjs";
import { Keys } from "./keys.mjs";
import { OPTIONS } from "./scene/options.mjs";
import { actions } from "./ui/actions.mjs";
import { h } from "./ui/dom.mjs";
import { Filmstrip } from "./ui/filmstrip.mjs";
import { help } from "./ui/help.mjs";
import { legend } from "./ui/legend.mjs";
import { lookBar } from "./ui/look_bar.mjs";
import { messages, problemText } from "./ui/messages.mjs";
import { follow } from "./ui/option_controls.mjs";
import { overlay } from "./ui/overlay.mjs";
import { panel } from "./ui/panel.mjs";
import { pointCard } from "./ui/point_card.mjs";
import { status } from "./ui/status.mjs";
import { chooseLanguage, t } from "./ui/strings.mjs";
import { toolbar } from "./ui/toolbar.mjs";
import { Viewer } from "./viewer.mjs";

/** @param {URLSearchParams} parameters @param {HTMLElement} root */
function main(parameters, root) {
    chooseLanguage(parameters.get("lang") || navigator.language || "en");
    document.title = t("title");
    const theme = parameters.get("theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    const stage = h("div.stage");
    root.append(stage);
    let viewer;
    try {
        viewer = new Viewer(stage);
    } catch (problem) {
        root.append(h("div.messages", {}, h("div.message.problem", { role: "alert" }, h("p", {}, problemText(problem)))));
        return;
    }
    const { dialog, toggle: toggleHelp } = help(() => actions(viewer, { toggleHelp }));
    const table = actions(viewer, { toggleHelp });
    new Controls(viewer);
    new Keys(viewer, Object.fromEntries(table.flatMap(({ keys, also = [], run }) =>
        [...keys, ...also].map((key) => [key, () => run(key)]))));
    stage.append(overlay(viewer));
    root.append(
        toolbar(viewer, { toggleHelp }),
        h("div.side", {}, panel(viewer)),
        h("div.low", {}, pointCard(viewer), legend(viewer), lookBar(viewer), status(viewer), new Filmstrip(viewer).element),
        messages(viewer, (files) => openFiles(viewer, files)),
        dialog);
    follow(viewer, "panel", (isOpen) => root.classList.toggle("with-panel", isOpen));
    viewer.on("measuring", () => root.classList.toggle("measuring", viewer.measure.active));
    acceptDrops(viewer, root);
    new Embedder(viewer, parameters.get("origin") || window.location.origin);
    obey(viewer, parameters);
}

/** @param {Viewer} viewer @param {URLSearchParams} parameters */
function obey(viewer, parameters) {
    try {
        for (const name of Object.keys(OPTIONS)) {
            if (parameters.has(name)) viewer.setOptions({ [name]: parameters.get(name) });
        }
    } catch (problem) {
        viewer.emit("problem", problem);
        return;
    }
    const [cloud, cameras] = [parameters.get("cloud"), parameters.get("cameras")];
    if (cloud || cameras) viewer.load({ cloud, cameras }).catch(() => { /* told by the signal "problem" */ });
}

main(new URLSearchParams(window.location.search), document.querySelector("#viewer"));
