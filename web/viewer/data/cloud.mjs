/** A point cloud in memory: its arrays in an order of which every beginning is spread evenly, and what is known of them. */
import { NO_FRAME } from "./ply_rows.mjs";

/** @typedef {import("./ply.mjs").Points} Points @typedef {import("../scene/matrices.mjs").Vector} Vector */

const SAMPLE = 100_000;
const MOST_SORTED = 1_000_000;
const CELLS = 96; // along the longest side, when the area is measured
const SLICE = 1 << 18; // points between two breaths

export class Cloud {
    /** @param {Points} points @param {Float32Array} sorted confidences, or a fair part of them, ascending */
    constructor(points, sorted) {
        this.count = points.count;
        this.positions = points.positions;
        this.colors = points.colors;
        this.hasColors = points.hasColors;
        this.normals = points.normals;
        this.confidence = points.confidence;
        this.frames = points.frames;
        this.dropped = points.dropped;
        this.sorted = sorted;
        this.sample = evenSample(this.positions, this.count);
        this.bounds = bounds(this.sample);
        this.extent = extent(this.positions);
        this.spacing = spacing(this.sample, this.bounds, this.count);
        this.frameCounts = countFrames(this.frames);
    }

    /**
     * Takes over the arrays of `points`. `breathe` is awaited now and then, so that the page stays alive.
     *
     * @param {Points} points
     * @param {() => Promise<void>} [breathe]
     */
    static async from(points, breathe = async () => {}) {
        await shuffle(points, breathe);
        const sorted = sortedConfidence(points.confidence);
        await breathe();
        await addRanks(points, sorted, breathe);
        return new Cloud(points, sorted);
    }

    /** @param {number} index @returns {Vector} */
    position(index) {
        return [this.positions[3 * index], this.positions[3 * index + 1], this.positions[3 * index + 2]];
    }

    /** The frame that saw the point, or null. @param {number} index */
    frame(index) {
        const frame = this.frames ? this.frames[index] : NO_FRAME;
        return frame === NO_FRAME ? null : frame;
    }

    /** Confidence below which `percent` of the points lie, -Infinity for none. @param {number} percent */
    confidenceAt(percent) {
        if (!this.sorted.length || percent <= 0) return -Infinity;
        const place = (Math.min(percent, 100) / 100) * (this.sorted.length - 1);
        const low = Math.floor(place);
        const high = Math.min(low + 1, this.sorted.length - 1);
        return Math.fround(this.sorted[low] + (this.sorted[high] - this.sorted[low]) * (place - low));
    }

    /** Share of the points, in percent, whose confidence is below `value`. @param {number} value */
    percentBelow(value) {
        return this.sorted.length ? (100 * firstAtLeast(this.sorted, value)) / this.sorted.length : 0;
    }

    /**
     * How many points pass the filters.
     *
     * @param {number} least confidence
     * @param {Set<number> | null} hidden frames
     * @param {((x: number, y: number, z: number) => boolean) | null} inside
     */
    countShown(least, hidden, inside) {
        if (!inside && !(hidden && this.frames) && !this.confidence) return this.count;
        const off = new Uint8Array(NO_FRAME + 1);
        for (const frame of hidden || []) off[frame] = 1;
        const place = this.positions;
        let shown = 0;
        for (let i = 0; i < this.count; i += 1) {
            if (this.confidence && this.confidence[i] < least) continue;
            if (this.frames && off[this.frames[i]]) continue;
            if (inside && !inside(place[3 * i], place[3 * i + 1], place[3 * i + 2])) continue;
            shown += 1;
        }
        return shown;
    }
}

/** Index of the first value that is at least `least`. @param {ArrayLike<number>} sorted @param {number} least */
function firstAtLeast(sorted, least) {
    let [low, high] = [0, sorted.length];
    while (low < high) {
        const middle = (low + high) >> 1;
        if (sorted[middle] < least) low = middle + 1;
        else high = middle;
    }
    return low;
}

/** Reorders so that the first n points, for any n, come evenly from the whole file. @param {Points} points @param {() => Promise<void>} breathe */
async function shuffle(points, breathe) {
    const { count } = points;
    if (count < 3) return;
    let step = Math.max(1, Math.round(count * 0.6180339887)) | 1;
    while (greatestCommonDivisor(step, count) > 1) step += 2;
    const order = new Uint32Array(count);
    for (let i = 0, from = 0; i < count; i += 1) {
        order[i] = from;
        from = (from + step) % count;
    }
    points.positions = await gathered(points.positions, order, 3, breathe);
    points.colors = await gathered(points.colors, order, 4, breathe);
    if (points.normals) points.normals = await gathered(points.normals, order, 4, breathe);
    if (points.confidence) points.confidence = await gathered(points.confidence, order, 1, breathe);
    if (points.frames) points.frames = await gathered(points.frames, order, 1, breathe);
}

/** @param {number} a @param {number} b */
function greatestCommonDivisor(a, b) {
    while (b) [a, b] = [b, a % b];
    return a;
}

/** @template {Float32Array | Uint8Array | Int8Array | Uint16Array} T @param {T} from @param {Uint32Array} order @param {number} width @param {() => Promise<void>} breathe @returns {Promise<T>} */
async function gathered(from, order, width, breathe) {
    const to = /** @type {T} */ (new /** @type {any} */ (from.constructor)(from.length));
    for (let i = 0; i < order.length; i += 1) {
        for (let part = 0; part < width; part += 1) to[width * i + part] = from[width * order[i] + part];
        if (i % SLICE === SLICE - 1) await breathe();
    }
    return to;
}

/** @param {Float32Array | null} confidence */
function sortedConfidence(confidence) {
    if (!confidence) return new Float32Array(0);
    const step = Math.ceil(confidence.length / MOST_SORTED) || 1;
    const part = step === 1 ? confidence.slice() : confidence.slice(0, Math.floor(confidence.length / step));
    return part.sort();
}

/** Writes the rank of each point's confidence, 0..255, into the fourth byte of its colour. @param {Points} points @param {Float32Array} sorted @param {() => Promise<void>} breathe */
async function addRanks(points, sorted, breathe) {
    if (!points.confidence || !sorted.length) return;
    const levels = Float32Array.from({ length: 256 }, (_, i) => sorted[Math.round((i / 255) * (sorted.length - 1))]);
    for (let i = 0; i < points.count; i += 1) {
        points.colors[4 * i + 3] = Math.min(255, firstAtLeast(levels, points.confidence[i]));
        if (i % SLICE === SLICE - 1) await breathe();
    }
}

/** Places (3 numbers each) of up to SAMPLE points; a beginning will do, since the order is even. @param {Float32Array} positions @param {number} count */
function evenSample(positions, count) {
    return positions.subarray(0, 3 * Math.min(count, SAMPLE));
}

/**
 * Where nearly all points are: without the outermost hundredth on each side, and a little around it.
 *
 * @param {Float32Array} sample
 * @returns {{low: Vector, high: Vector}}
 */
export function bounds(sample) {
    /** @type {Vector} */
    const low = [-1, -1, -1];
    /** @type {Vector} */
    const high = [1, 1, 1];
    const count = sample.length / 3;
    if (!count) return { low, high };
    for (let axis = 0; axis < 3; axis += 1) {
        const values = Float32Array.from({ length: count }, (_, i) => sample[3 * i + axis]).sort();
        const [first, last] = [values[Math.floor(0.01 * (count - 1))], values[Math.ceil(0.99 * (count - 1))]];
        const margin = 0.1 * (last - first) || 1e-6;
        low[axis] = Math.max(values[0], first - margin);
        high[axis] = Math.min(values[count - 1], last + margin);
    }
    return { low, high };
}

/** The box that every point is in. @param {Float32Array} positions @returns {{low: Vector, high: Vector} | null} */
function extent(positions) {
    if (!positions.length) return null;
    /** @type {Vector} */
    const low = [Infinity, Infinity, Infinity];
    /** @type {Vector} */
    const high = [-Infinity, -Infinity, -Infinity];
    for (let i = 0; i < positions.length; i += 3) {
        for (let axis = 0; axis < 3; axis += 1) {
            const value = positions[i + axis];
            if (value < low[axis]) low[axis] = value;
            if (value > high[axis]) high[axis] = value;
        }
    }
    return { low, high };
}

/**
 * About how far neighbouring points are apart: the root of the area that the cloud covers, by the cells that it
 * touches, over its number of points.
 *
 * @param {Float32Array} sample
 * @param {{low: Vector, high: Vector}} box
 * @param {number} count of all points
 */
function spacing(sample, box, count) {
    const side = Math.max(...[0, 1, 2].map((axis) => box.high[axis] - box.low[axis])) || 1e-6;
    const cells = Math.max(4, Math.min(CELLS, Math.floor(Math.sqrt(sample.length / 3) / 2)));
    const touched = new Set();
    let inside = 0;
    for (let i = 0; i < sample.length; i += 3) {
        const cell = [0, 1, 2].map((axis) => Math.floor(((sample[i + axis] - box.low[axis]) / side) * cells));
        if (cell.some((place) => place < 0 || place > cells)) continue;
        inside += 1;
        touched.add((cell[0] * 1024 + cell[1]) * 1024 + cell[2]);
    }
    const share = inside / Math.max(1, sample.length / 3);
    return (side / cells) * Math.sqrt(touched.size / Math.max(1, count * share));
}

/** Points of each frame, in the order of their numbers. @param {Uint16Array | null} frames @returns {Map<number, number>} */
function countFrames(frames) {
    const counts = new Uint32Array(NO_FRAME + 1);
    for (let i = 0; frames && i < frames.length; i += 1) counts[frames[i]] += 1;
    const found = new Map();
    counts.forEach((count, frame) => {
        if (count && frame !== NO_FRAME) found.set(frame, count);
    });
    return found;
}
