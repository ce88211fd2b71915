/** One line of numbers: points shown, pictures a second, the grid's width, the camera under the pointer. */
import { gridStep } from "../scene/decorations.mjs";
import { h, show } from "./dom.mjs";
import { lengthText } from "./legend.mjs";
import { t } from "./strings.mjs";

/** @param {import("../viewer.mjs").Viewer} viewer */
export function status(viewer) {
    const [points, rate, grid, hover] = ["points", "rate", "grid", "hover"].map((name) => h(`span.${name}`));
    const element = h("div.status", {}, points, rate, grid, hover);
    const update = () => {
        const { cloud, shown, pace, navigation, cameraOf, options } = viewer;
        const key = cloud && shown < cloud.count ? "status.points" : "status.all";
        points.textContent = cloud ? t(key, { shown, count: cloud.count }) : "";
        rate.textContent = pace.rate ? t("status.rate", { rate: Math.round(pace.rate) }) : "";
        grid.textContent = options.grid ? t("grid.step", { step: lengthText(viewer, gridStep(viewer.layout)) }) : "";
        hover.textContent = cameraOf.get(navigation.hovered)?.name || "";
        show(element, Boolean(cloud) || viewer.set.cameras.length > 0);
    };
    viewer.on("cloud count hover scale options", update);
    let last = 0;
    viewer.on("tick", (now) => {
        if (now - last < 300) return;
        last = now;
        update();
    });
    update();
    return element;
}
