/** The photos in a row: a click flies to the camera of one, the eye shows or hides its points. */
import { h, show } from "./dom.mjs";
import { lookAt, setShown } from "./frame_list.mjs";
import { icon } from "./icons.mjs";
import { follow } from "./option_controls.mjs";
import { t } from "./strings.mjs";

/** @typedef {import("../viewer.mjs").Viewer} Viewer */

export class Filmstrip {
    /** @param {Viewer} viewer */
    constructor(viewer) {
        this.viewer = viewer;
        this.element = h("nav.filmstrip", { "aria-label": t("filmstrip") });
        /** @type {{frame: number, item: HTMLElement, eye: HTMLElement}[]} */
        this.items = [];
        viewer.on("cloud", () => this.build());
        viewer.on("options", (changed) => { if ("frames" in changed) this.update(); });
        viewer.on("current", () => this.update(true));
        follow(viewer, "filmstrip", (isOpen) => show(this.element, isOpen));
    }

    build() {
        const { viewer } = this;
        this.items = viewer.frames.map((frame) => {
            const camera = viewer.cameraOf.get(frame);
            const name = camera?.name || t("frame", { frame });
            const photo = camera?.thumbnail ? h("img", { src: camera.thumbnail, alt: "", loading: "lazy" }) : h("span.blank");
            const look = h("button.photo", { type: "button", title: t("frame.look", { name }), "aria-label": t("frame.look", { name }),
                onclick: () => lookAt(viewer, frame) }, photo, h("span.number", {}, String(frame)));
            const eye = h("button.eye", { type: "button", title: t("frame.show", { name }), "aria-label": t("frame.show", { name }),
                onclick: () => setShown(viewer, frame, viewer.hidden.has(frame)) });
            const item = h("div.item", { style: `--color: rgb(${viewer.colors.get(frame)})` }, look, eye);
            return { frame, item, eye };
        });
        this.element.replaceChildren(...this.items.map(({ item }) => item));
        this.update();
    }

    /** @param {boolean} [scrolls] bring the current one into sight */
    update(scrolls = false) {
        for (const { frame, item, eye } of this.items) {
            const isHidden = this.viewer.hidden.has(frame);
            const isCurrent = frame === this.viewer.navigation.current;
            eye.replaceChildren(icon(isHidden ? "hidden" : "eye"));
            eye.setAttribute("aria-pressed", String(!isHidden));
            item.classList.toggle("off", isHidden);
            item.classList.toggle("current", isCurrent);
            if (isCurrent && scrolls) item.scrollIntoView({ inline: "center", block: "nearest" });
        }
    }
}
