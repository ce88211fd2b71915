/** Places from which the whole scene is seen. */
import { add, cross, scale } from "./matrices.mjs";
import { fit } from "./view.mjs";

const AZIMUTH = (20 * Math.PI) / 180;
const ELEVATION = (28 * Math.PI) / 180;

/** From behind the cameras, a little aside and above. @param {import("./layout.mjs").Layout} layout @param {import("./view.mjs").View} view */
export function homePose(layout, view) {
    const level = add(scale(layout.ahead, Math.cos(AZIMUTH)), scale(cross(layout.up, layout.ahead), Math.sin(AZIMUTH)));
    const direction = add(scale(level, Math.cos(ELEVATION)), scale(layout.up, -Math.sin(ELEVATION)));
    return fit(layout.outline, direction, layout.up, view.aspect, view.parallel);
}

/** @param {import("./layout.mjs").Layout} layout @param {import("./view.mjs").View} view @param {"top" | "front" | "side"} side */
export function sidePose(layout, view, side) {
    const down = scale(layout.up, -1);
    const direction = { top: down, front: layout.ahead, side: scale(layout.right, -1) }[side];
    const up = side === "top" ? layout.ahead : layout.up;
    return fit(layout.outline, direction, up, view.aspect, view.parallel);
}
