/** While a camera is looked through: its name, the next and the one before, and its photo over the view. */
import { h, show } from "./dom.mjs";
import { icon } from "./icons.mjs";
import { follow } from "./option_controls.mjs";
import { t } from "./strings.mjs";

/** @param {import("../viewer.mjs").Viewer} viewer */
export function lookBar(viewer) {
    const { navigation } = viewer;
    const button = (/** @type {any} */ picture, /** @type {string} */ word, /** @type {() => void} */ onclick) =>
        h("button.plain", { type: "button", title: t(word), "aria-label": t(word), onclick }, icon(picture));
    const name = h("span.name");
    const place = h("span.place");
    const opacity = h("input", { "aria-label": t("photoOpacity"), type: "range", min: "0", max: "1", step: "0.01", "data-look": "opacity",
        oninput: () => viewer.setOptions({ photoOpacity: Number(opacity.value) }) });
    follow(viewer, "photoOpacity", (value) => {
        opacity.value = String(value);
        opacity.style.setProperty("--filled", String(value));
    });
    const element = h("div.lookbar", { role: "group" },
        button("previous", "look.previous", () => navigation.stepFrame(-1)),
        h("span.words", {}, name, place),
        button("next", "look.next", () => navigation.stepFrame(1)),
        opacity,
        button("close", "look.leave", () => navigation.leave()));
    const update = () => {
        const camera = viewer.cameraOf.get(navigation.looking);
        show(element, Boolean(camera));
        if (!camera) return;
        name.textContent = camera.name;
        place.textContent = t("frame", { frame: camera.frame });
        opacity.title = t("photoOpacity");
        opacity.setAttribute("aria-label", t("look.photo", { name: camera.name }));
        show(opacity, Boolean(camera.thumbnail));
    };
    viewer.on("view cloud current", update);
    update();
    return element;
}
