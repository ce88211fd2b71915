/** Which camera a place of the picture belongs to. */
import { frustumCorners } from "../data/cameras.mjs";

/**
 * @typedef {{x: number, y: number, z: number}} Place in pixels, z how far ahead
 * @typedef {(point: import("./matrices.mjs").Vector) => Place | null} Projector
 */

const NEAR_PX = 7; // to a frustum's tip or a very small frustum

/**
 * The frame of the foremost frustum whose image plane or tip is at a place, null for none.
 *
 * @param {import("../data/cameras.mjs").Camera[]} cameras
 * @param {number} depth of the frusta
 * @param {Projector} project
 * @param {[number, number]} place
 */
export function cameraUnder(cameras, depth, project, place) {
    let [best, frame] = [Infinity, /** @type {number | null} */ (null)];
    for (const camera of cameras) {
        const corners = frustumCorners(camera, depth).slice(0, 4).map(project);
        const tip = project(camera.position);
        const isNear = (/** @type {Place | null} */ at) => at && Math.hypot(at.x - place[0], at.y - place[1]) < NEAR_PX;
        const isIn = corners.every(Boolean) && isInside(/** @type {Place[]} */ (corners), place);
        if (!isIn && !isNear(tip)) continue;
        const ahead = isIn ? Math.min(...corners.map((corner) => corner.z)) : tip.z;
        if (ahead < best) [best, frame] = [ahead, camera.frame];
    }
    return frame;
}

/** Whether a place is in a convex outline, run round either way. @param {Place[]} corners @param {[number, number]} place */
function isInside(corners, [x, y]) {
    const sides = corners.map((corner, i) => {
        const next = corners[(i + 1) % corners.length];
        return (next.x - corner.x) * (y - corner.y) - (next.y - corner.y) * (x - corner.x);
    });
    return sides.every((side) => side > 0) || sides.every((side) => side < 0);
}
