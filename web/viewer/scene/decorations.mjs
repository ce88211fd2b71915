/** The lines and pictures around a cloud: cameras with their photos, the way they went, a grid on the floor, the axes. */
import { frustumCorners } from "../data/cameras.mjs";
import { distance, scale } from "./matrices.mjs";

/**
 * @typedef {import("./matrices.mjs").Vector} Vector
 * @typedef {import("../draw/lines_pass.mjs").Line} Line
 * @typedef {import("../data/cameras.mjs").Camera} Camera
 * @typedef {import("./color_maps.mjs").Color} Color
 * @typedef {{
 *   layout: import("./layout.mjs").Layout, options: Record<string, any>, colors: Map<number, Color>,
 *   hidden: Set<number>, current: number | null, hovered: number | null, isDark: boolean, tooNear: Set<number>,
 * }} Situation tooNear: frames whose cameras would only be in the way
 */

const EDGES = [[0, 1], [1, 2], [2, 3], [3, 0], [0, 4], [4, 1]];
/** @type {[Vector, number[]][]} */
const AXES = [[[1, 0, 0], [230, 70, 70]], [[0, 1, 0], [90, 190, 80]], [[0, 0, 1], [80, 130, 245]]];
const GRID_LINES = 12; // about, along the longer side

/** Depth of the frusta. @param {{layout: import("./layout.mjs").Layout, options: Record<string, any>}} situation */
export const frustumDepth = ({ layout, options }) => layout.cameraDepth * options.cameraSize;

/** @param {Situation} situation @returns {Line[]} */
export function lines(situation) {
    const { options } = situation;
    return [
        ...(options.grid ? gridLines(situation) : []),
        ...(options.axes ? axisLines(situation) : []),
        ...(options.trajectory ? trajectoryLines(situation) : []),
        ...(options.frusta ? visible(situation).flatMap((camera) => frustumLines(camera, situation)) : []),
    ];
}

/** Frames of the cameras that the eye is in, or nearly. @param {Camera[]} cameras @param {Vector} eye @param {number} depth of the frusta */
export function tooNearFrames(cameras, eye, depth) {
    return new Set(cameras.filter(({ position }) => distance(position, eye) < depth).map(({ frame }) => frame));
}

/** @param {Situation} situation */
const visible = ({ layout, tooNear }) => layout.cameras.filter(({ frame }) => !tooNear.has(frame));

/** Photos in the image planes; the layer of a photo is its camera's place in the list. @param {Situation} situation */
export function photos(situation) {
    const { options, layout, hidden, tooNear } = situation;
    if (!options.frusta || !options.photos) return [];
    const depth = frustumDepth(situation);
    return layout.cameras
        .map((camera, layer) => ({ layer, frame: camera.frame, corners: frustumCorners(camera, depth).slice(0, 4) }))
        .filter(({ frame }) => !hidden.has(frame) && !tooNear.has(frame));
}

/** @param {Camera} camera @param {Situation} situation @returns {Line[]} */
function frustumLines(camera, situation) {
    const { colors, hidden, current, hovered, isDark } = situation;
    const corners = frustumCorners(camera, frustumDepth(situation));
    const isMarked = camera.frame === current || camera.frame === hovered;
    const ink = isDark ? [255, 255, 255] : [20, 20, 24];
    const color = [...(isMarked ? ink : colors.get(camera.frame)), hidden.has(camera.frame) ? 90 : 255];
    const width = isMarked ? 3 : 1.6;
    const rays = corners.slice(0, 4).map((corner) => ({ from: camera.position, to: corner, color, width: width * 0.8 }));
    return [...rays, ...EDGES.map(([a, b]) => ({ from: corners[a], to: corners[b], color, width }))];
}

/** @param {Situation} situation @returns {Line[]} */
function trajectoryLines({ layout, isDark }) {
    const color = isDark ? [255, 255, 255, 120] : [0, 0, 0, 110];
    return layout.cameras.slice(1).map((camera, i) => (
        { from: layout.cameras[i].position, to: camera.position, color, width: 1.2, hidden: 0.4 }));
}

/** @param {Situation} situation @returns {Line[]} */
function axisLines(situation) {
    const size = situation.layout.cameras.length ? 1.5 * situation.layout.cameraDepth : 0.1 * situation.layout.size;
    return AXES.map(([axis, color]) => (
        { from: [0, 0, 0], to: scale(axis, size), color: [...color, 255], width: 2.5, hidden: 0.3 }));
}

/** Distance between lines of the grid: 1, 2 or 5 times a power of ten. @param {import("./layout.mjs").Layout} layout */
export function gridStep(layout) {
    const wanted = Math.max(layout.high[0] - layout.low[0], layout.high[2] - layout.low[2], 1e-6) / GRID_LINES;
    const power = 10 ** Math.floor(Math.log10(wanted));
    return power * ([1, 2, 5].find((factor) => factor * power >= wanted) || 10);
}

/** @param {Situation} situation @returns {Line[]} */
function gridLines({ layout, isDark }) {
    const step = gridStep(layout);
    const floor = layout.low[1];
    const edge = (/** @type {number} */ axis) => (
        [Math.floor(layout.low[axis] / step) - 1, Math.ceil(layout.high[axis] / step) + 1]);
    const [[left, right], [back, front]] = [edge(0), edge(2)];
    const shade = isDark ? 255 : 0;
    /** @type {Line[]} */
    const result = [];
    const put = (/** @type {number} */ at, /** @type {Vector} */ from, /** @type {Vector} */ to) => {
        const color = [shade, shade, shade, at % 5 ? 34 : 74];
        if (distance(from, to) > 0) result.push({ from: layout.fromAxes(from), to: layout.fromAxes(to), color, width: 1, hidden: 0 });
    };
    for (let i = left; i <= right; i += 1) put(i, [i * step, floor, back * step], [i * step, floor, front * step]);
    for (let i = back; i <= front; i += 1) put(i, [left * step, floor, i * step], [right * step, floor, i * step]);
    return result;
}
