/** Places from which the scene is seen: what deserves a first look, or the whole of it. */
import { add, cross, scale } from "./matrices.mjs";
import { fit } from "./view.mjs";

const AZIMUTH = (20 * Math.PI) / 180;
const ELEVATION = (28 * Math.PI) / 180;

/** From behind the cameras, a little aside and above, on what they saw best. @param {import("./layout.mjs").Layout} layout @param {import("./view.mjs").View} view */
export function homePose(layout, view) {
    return fromBehind(layout.front, layout, view);
}

/** The same on everything, the cameras too. @param {import("./layout.mjs").Layout} layout @param {import("./view.mjs").View} view */
export function wholePose(layout, view) {
    return fromBehind(layout.outline, layout, view);
}

/** @param {import("./matrices.mjs").Vector[]} points @param {import("./layout.mjs").Layout} layout @param {import("./view.mjs").View} view */
function fromBehind(points, layout, view) {
    const level = add(scale(layout.ahead, Math.cos(AZIMUTH)), scale(cross(layout.up, layout.ahead), Math.sin(AZIMUTH)));
    const direction = add(scale(level, Math.cos(ELEVATION)), scale(layout.up, -Math.sin(ELEVATION)));
    return fit(points, direction, layout.up, view.aspect, view.parallel);
}

/** @param {import("./layout.mjs").Layout} layout @param {import("./view.mjs").View} view @param {"top" | "front" | "side"} side */
export function sidePose(layout, view, side) {
    const down = scale(layout.up, -1);
    const direction = { top: down, front: layout.ahead, side: scale(layout.right, -1) }[side];
    const up = side === "top" ? layout.ahead : layout.up;
    return fit(layout.outline, direction, up, view.aspect, view.parallel);
}
