/**
 * How a scene lies: what is up and ahead, how large it is, where its floor is. The layout's own axes are right, up and
 * back; lengths along them are called width, height and depth.
 */
import { depthFrom, forward } from "../data/cameras.mjs";
import { add, anyAcross, cross, distance, dot, length, normalize, scale, subtract } from "./matrices.mjs";

/** @typedef {import("./matrices.mjs").Vector} Vector @typedef {import("../data/cameras.mjs").Camera} Camera */

const UPS = { y: [0, 1, 0], z: [0, 0, 1], x: [1, 0, 0] };
const FIT_POINTS = 4000;
const LEAST_IN_FOCUS = 20;
const MOST_REACHES = 30;

export class Layout {
    /**
     * @param {import("../data/cloud.mjs").Cloud | null} cloud
     * @param {import("../data/cameras.mjs").CameraSet} set
     * @param {string} up option "up"
     */
    constructor(cloud, set, up) {
        this.cameras = set.cameras;
        this.focus = set.focus || null;
        this.sample = cloud ? cloud.sample : new Float32Array(0);
        this.extent = cloud ? cloud.extent : null;
        /** @type {Vector} */
        this.up = up === "auto" ? set.up || [0, 1, 0] : /** @type {Vector} */ (scale(UPS[up[1]], up[0] === "-" ? -1 : 1));
        this.ahead = this.level(meanForward(this.cameras, this.up));
        this.right = normalize(cross(this.ahead, this.up));
        /** @type {Vector[]} rows: right, up, back */
        this.axes = [this.right, this.up, scale(this.ahead, -1)];
        this.measure();
    }

    /** The part of a direction at right angles to up. @param {Vector} direction */
    level(direction) {
        const flat = subtract(direction, scale(this.up, dot(direction, this.up)));
        return length(flat) > 0.2 * length(direction) ? normalize(flat) : anyAcross(this.up);
    }

    /** Coordinates along right, up, back. @param {Vector} point @returns {Vector} */
    inAxes(point) {
        return /** @type {Vector} */ (this.axes.map((axis) => dot(axis, point)));
    }

    /** The point with these coordinates along right, up, back. @param {Vector} place @returns {Vector} */
    fromAxes(place) {
        return this.axes.reduce((sum, axis, i) => add(sum, scale(axis, place[i])), /** @type {Vector} */ ([0, 0, 0]));
    }

    measure() {
        const places = [];
        for (let i = 0; i < this.sample.length; i += 3) {
            places.push(this.inAxes([this.sample[i], this.sample[i + 1], this.sample[i + 2]]));
        }
        const seen = this.cameras.map((camera) => this.inAxes(camera.position));
        const all = places.length ? places : seen.length ? seen : [/** @type {Vector} */ ([0, 0, 0])];
        const ranges = [0, 1, 2].map((axis) => middleRange(all.map((place) => place[axis])));
        /** The box that nearly all points are in. @type {Vector} */
        this.low = /** @type {Vector} */ (ranges.map((range) => range[0]));
        /** @type {Vector} */
        this.high = /** @type {Vector} */ (ranges.map((range) => range[1]));
        this.size = distance(this.low, this.high);
        this.center = this.fromAxes(scale(add(this.low, this.high), 0.5));
        const inside = places.filter((place) => place.every((value, i) => value >= this.low[i] && value <= this.high[i]));
        const step = Math.ceil(inside.length / FIT_POINTS) || 1;
        /** What a picture of the whole scene has to show. @type {Vector[]} */
        this.outline = [...inside.filter((_, i) => i % step === 0), ...seen].map((place) => this.fromAxes(place));
        if (!this.outline.length) this.outline = [this.center];
        /** What a first look has to show. @type {Vector[]} */
        this.front = this.inFocus(places.map((place) => this.fromAxes(place)));
        this.reach = this.outline.reduce((most, point) => Math.max(most, distance(point, this.center)), this.size / 2);
        this.cameraDepth = cameraDepth(this.cameras, this.size);
        /** How far from the center anything is drawn; what lies a great deal further would cost all depth precision. */
        const farthest = this.extent ? farthestCorner(this.extent, this.center) : 0;
        this.far = Math.min(Math.max(this.reach, farthest), MOST_REACHES * this.reach) + this.size;
    }

    /** The points inside the focus, if there is one that holds some; else the outline. @param {Vector[]} points @returns {Vector[]} */
    inFocus(points) {
        const { focus } = this;
        if (!focus) return this.outline;
        const near = points.filter((point) => distance(point, focus.center) <= focus.radius);
        const step = Math.ceil(near.length / FIT_POINTS) || 1;
        return near.length < LEAST_IN_FOCUS ? this.outline : near.filter((_, i) => i % step === 0);
    }

    /** Heights between which the colour "height" runs. @returns {[number, number]} */
    get heights() {
        return [this.low[1], this.high[1] > this.low[1] ? this.high[1] : this.low[1] + 1];
    }

    /**
     * Depths, each from the camera that saw the point, between which the colour "depth" runs.
     *
     * @param {import("../data/cloud.mjs").Cloud} cloud
     * @returns {[number, number] | null}
     */
    depths(cloud) {
        const byFrame = new Map(this.cameras.map((camera) => [camera.frame, camera]));
        const values = [];
        for (let i = 0; i < Math.min(cloud.count, 50_000); i += 1) {
            const camera = byFrame.get(cloud.frame(i));
            const depth = camera ? depthFrom(camera, cloud.position(i)) : 0;
            if (depth > 0) values.push(depth);
        }
        if (!values.length) return null;
        const [low, high] = middleRange(values);
        return [Math.max(low, 1e-6), Math.max(high, low * 1.001, 2e-6)];
    }
}

/** Distance to the farthest corner of a box. @param {{low: Vector, high: Vector}} box @param {Vector} from */
function farthestCorner({ low, high }, from) {
    return Math.hypot(...from.map((value, axis) => Math.max(Math.abs(low[axis] - value), Math.abs(high[axis] - value))));
}

/** @param {Camera[]} cameras @param {Vector} up @returns {Vector} */
function meanForward(cameras, up) {
    const sum = cameras.reduce((total, camera) => add(total, forward(camera)), /** @type {Vector} */ ([0, 0, 0]));
    if (cameras.length && length(sum) > 0.1 * cameras.length) return sum;
    if (cameras.length) return forward(cameras[0]);
    return Math.abs(up[2]) > 0.9 ? [0, 1, 0] : [0, 0, -1];
}

/** From the 1st to the 99th hundredth and a tenth more on each side, if there is so much. @param {number[]} values @returns {[number, number]} */
function middleRange(values) {
    const sorted = Float64Array.from(values).sort();
    const last = sorted.length - 1;
    const [low, high] = [sorted[Math.floor(0.01 * last)], sorted[Math.ceil(0.99 * last)]];
    const margin = 0.1 * (high - low);
    return [Math.max(sorted[0], low - margin), Math.min(sorted[last], high + margin)];
}

/** A depth of frusta that lets neighbours be told apart and neither hides the scene nor vanishes. @param {Camera[]} cameras @param {number} size */
function cameraDepth(cameras, size) {
    const nearest = cameras.map(({ position }) =>
        Math.min(...cameras.filter((other) => other.position !== position).map((other) => distance(position, other.position))));
    const spacing = nearest.sort((a, b) => a - b)[Math.floor(nearest.length / 2)];
    const wanted = Number.isFinite(spacing) ? 0.7 * spacing : size;
    return Math.min(0.06 * size, Math.max(0.02 * size, wanted)) || 0.1;
}
