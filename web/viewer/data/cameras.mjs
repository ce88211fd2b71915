/**
 * Cameras as cameras.json gives them (written by scene/export/viewer.py, which says what each field means).
 *
 * @typedef {import("../scene/matrices.mjs").Vector} Vector
 * @typedef {import("../scene/matrices.mjs").Quaternion} Quaternion
 * @typedef {import("../scene/matrices.mjs").Tangents} Tangents
 * @typedef {{
 *   frame: number, name: string, width: number, height: number, focal: [number, number], center: [number, number],
 *   position: Vector, rotation: Quaternion, thumbnail: string | null,
 * }} Camera
 * @typedef {{center: Vector, radius: number}} Focus a sphere that a first look is to show
 * @typedef {{cameras: Camera[], up: Vector | null, metersPerUnit: number | null, focus: Focus | null}} CameraSet
 */
import { add, distance, fromAxes, length, normalize, rotate, scale } from "../scene/matrices.mjs";
import { Problem } from "./problem.mjs";

const FORMAT = "manyview-cameras";
const LONG_STEP = 2.5; // times the way to the nearest camera

/**
 * The cameras of a parsed JSON document; throws a Problem that names the first thing that is wrong.
 *
 * @param {any} document
 * @param {string} base address that thumbnails are relative to
 * @returns {CameraSet}
 */
export function readCameras(document, base) {
    if (!document || document.format !== FORMAT || !Array.isArray(document.cameras)) throw new Problem("cameras.format");
    if (document.version !== 1) throw new Problem("cameras.version", { version: String(document.version) });
    const cameras = document.cameras.map((entry, i) => readCamera(entry, i, base));
    const { up, meters_per_unit: meters, focus } = document;
    return {
        cameras: cameras.sort((a, b) => a.frame - b.frame),
        up: isVector(up) && length(up) > 1e-6 ? normalize(up) : null,
        metersPerUnit: Number.isFinite(meters) && meters > 0 ? meters : null,
        focus: focus && isVector(focus.center) && focus.radius > 0 ? { center: focus.center, radius: focus.radius } : null,
    };
}

/** @param {any} entry @param {number} i @param {string} base @returns {Camera} */
function readCamera(entry, i, base) {
    const bad = (/** @type {string} */ field) => new Problem("cameras.field", { camera: i, field });
    const { frame = i, size, intrinsics: k, camera_to_world: pose, thumbnail } = entry || {};
    if (!Number.isInteger(frame) || frame < 0) throw bad("frame");
    if (!isMatrix([size], 1, 2) || !(size[0] > 0 && size[1] > 0)) throw bad("size");
    if (!isMatrix(k, 3, 3) || !(k[0][0] > 0 && k[1][1] > 0)) throw bad("intrinsics");
    if (!isMatrix(pose, 3, 4)) throw bad("camera_to_world");
    const column = (/** @type {number} */ at) => /** @type {Vector} */ ([pose[0][at], pose[1][at], pose[2][at]]);
    return {
        frame,
        name: String(entry.name || frame),
        width: size[0],
        height: size[1],
        focal: [k[0][0], k[1][1]],
        center: [k[0][2], k[1][2]],
        position: column(3),
        rotation: fromAxes(column(0), column(1), column(2)),
        thumbnail: typeof thumbnail === "string" && thumbnail ? new URL(thumbnail, base).href : null,
    };
}

/** At least `rows` lists of at least `columns` numbers. @param {any} value @param {number} rows @param {number} columns */
function isMatrix(value, rows, columns) {
    const isRow = (/** @type {any} */ row) => Array.isArray(row) && row.length >= columns && row.every(Number.isFinite);
    return Array.isArray(value) && value.length >= rows && value.slice(0, rows).every(isRow);
}

/** @param {any} value */
const isVector = (value) => isMatrix([value], 1, 3);

/** Slopes of the edges of a camera's image. @param {Camera} camera @returns {Tangents} */
export function tangents({ width, height, focal, center }) {
    return {
        left: -center[0] / focal[0],
        right: (width - center[0]) / focal[0],
        bottom: -(height - center[1]) / focal[1],
        top: center[1] / focal[1],
    };
}

/**
 * Whether the cameras come in the order of a walk: a step from one to the next is hardly longer than the way to the
 * nearest camera of all. Photos without an order would give a tangle of lines.
 *
 * @param {Camera[]} cameras
 */
export function isWalk(cameras) {
    if (cameras.length < 3) return cameras.length > 1;
    const nearest = cameras.map(({ position }, i) =>
        Math.min(...cameras.map((other, j) => (i === j ? Infinity : distance(position, other.position)))));
    const steps = cameras.slice(1).map(({ position }, i) => distance(position, cameras[i].position));
    const mean = (/** @type {number[]} */ values) => values.reduce((sum, value) => sum + value) / values.length;
    return mean(steps) < LONG_STEP * mean(nearest);
}

/** Where the camera looks. @param {Camera} camera */
export const forward = (camera) => rotate(camera.rotation, [0, 0, -1]);

/** Depth of a point along the camera's axis. @param {Camera} camera @param {Vector} point */
export function depthFrom(camera, point) {
    const axis = forward(camera);
    return [0, 1, 2].reduce((sum, i) => sum + (point[i] - camera.position[i]) * axis[i], 0);
}

/**
 * Corners of a frustum `depth` deep: the image's from its top left clockwise, then a mark above its top.
 *
 * @param {Camera} camera
 * @param {number} depth
 * @returns {Vector[]}
 */
export function frustumCorners(camera, depth) {
    const { left, right, bottom, top } = tangents(camera);
    const mark = top + 0.25 * (top - bottom);
    const slopes = [[left, top], [right, top], [right, bottom], [left, bottom], [(left + right) / 2, mark]];
    return slopes.map(([x, y]) => add(camera.position, scale(rotate(camera.rotation, [x, y, -1]), depth)));
}
