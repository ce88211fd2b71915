/** Where the eye is and what it sees; flights from one place to another. */
import * as m from "./matrices.mjs";

/**
 * @typedef {import("./matrices.mjs").Vector} Vector
 * @typedef {import("./matrices.mjs").Quaternion} Quaternion
 * @typedef {import("./matrices.mjs").Tangents} Tangents
 * @typedef {{eye: Vector, rotation: Quaternion, distance: number, lens: Tangents | null,
 *   through: number | null}} Pose
 *   distance: to the pivot that the eye turns about; lens: edges of the picture, null for the usual field of view;
 *   through: number of the frame whose camera is looked through
 */

export const FIELD_OF_VIEW = (50 * Math.PI) / 180; // of the shorter side
const FLIGHT_MS = 700;
const STEEPEST = 0.9995; // sine of how far up or down the eye may look

export class View {
    constructor() {
        /** @type {Pose} */
        this.pose = { eye: [0, 0, 3], rotation: [0, 0, 0, 1], distance: 3, lens: null, through: null };
        /** @type {{from: Pose, to: Pose, start: number, length: number} | null} */
        this.flight = null;
        /** @type {Vector} */
        this.up = [0, 1, 0];
        this.parallel = false;
        this.aspect = 1;
    }

    get forward() {
        return m.rotate(this.pose.rotation, [0, 0, -1]);
    }

    get pivot() {
        return m.add(this.pose.eye, m.scale(this.forward, this.pose.distance));
    }

    /** Whether it is drawn in parallel: never through a photo's lens. */
    get isParallel() {
        return this.parallel && this.pose.through === null && (this.flight?.to.through ?? null) === null;
    }

    /** Slopes of the edges of the picture; in parallel they hold at distance 1. @returns {Tangents} */
    get tangents() {
        if (!this.flight) return fitted(this.pose.lens, this.aspect);
        const { from, to } = this.flight;
        const [a, b] = [fitted(from.lens, this.aspect), fitted(to.lens, this.aspect)];
        const share = this.progress;
        const mixed = (/** @type {keyof Tangents} */ side) => a[side] + (b[side] - a[side]) * share;
        return { left: mixed("left"), right: mixed("right"), bottom: mixed("bottom"), top: mixed("top") };
    }

    /**
     * Matrices of a scene that lies around `center`, nowhere further than `reach`.
     *
     * @param {Vector} center
     * @param {number} reach
     */
    matrices(center, reach) {
        const { eye, rotation, distance } = this.pose;
        const view = m.worldToEye(eye, rotation);
        const away = m.distance(eye, center);
        const far = (away + reach) * 1.05 + 1e-9;
        let { left, right, bottom, top } = this.tangents;
        if (this.isParallel) {
            [left, right, bottom, top] = [left, right, bottom, top].map((slope) => slope * distance);
            const projection = m.parallel({ left, right, bottom, top }, -far, far);
            return { view, projection, both: m.multiply(projection, view), near: -far, far };
        }
        const near = Math.max(far * 1e-4, Math.min(0.05 * distance, far * 0.01), (away - reach) * 0.5);
        const projection = m.perspective({ left, right, bottom, top }, near, far);
        return { view, projection, both: m.multiply(projection, view), near, far };
    }

    /** Pixels, of a picture `height` pixels high, that one unit takes at distance 1. @param {number} height */
    pixelsPerUnit(height) {
        const { top, bottom } = this.tangents;
        return height / (top - bottom);
    }

    /** The ray through a place of the picture, x and y from -1 to 1. @param {number} x @param {number} y @returns {{from: Vector, along: Vector}} */
    ray(x, y) {
        const { left, right, bottom, top } = this.tangents;
        const slope = [left + ((x + 1) / 2) * (right - left), bottom + ((y + 1) / 2) * (top - bottom)];
        const { eye, rotation, distance } = this.pose;
        if (!this.isParallel) return { from: eye, along: m.rotate(rotation, [slope[0], slope[1], -1]) };
        const aside = m.rotate(rotation, [slope[0] * distance, slope[1] * distance, 0]);
        return { from: m.add(eye, aside), along: this.forward };
    }

    /** Turn about the pivot, by radians to the right and up. @param {number} right @param {number} up */
    orbit(right, up) {
        const { pivot } = this;
        this.turnBy(right, up);
        this.pose.eye = m.subtract(pivot, m.scale(this.forward, this.pose.distance));
    }

    /** Turn where the eye is. @param {number} right @param {number} up */
    turnBy(right, up) {
        this.release();
        const start = this.forward;
        const level = m.cross(start, this.up);
        const axis = m.length(level) > 1e-3 ? m.normalize(level) : m.rotate(this.pose.rotation, [1, 0, 0]);
        const steep = Math.asin(Math.max(-1, Math.min(1, m.dot(start, this.up))));
        const limit = Math.asin(STEEPEST);
        const climb = Math.max(-limit, Math.min(limit, steep + up)) - steep;
        const both = m.compose(m.turn(this.up, -right), m.turn(axis, climb));
        const turned = m.compose(both, this.pose.rotation);
        // a rolled picture becomes upright again while it is turned
        const upright = m.lookAlong(m.rotate(turned, [0, 0, -1]), this.up);
        const effort = Math.min(1, 0.3 + 4 * (Math.abs(right) + Math.abs(up)));
        this.pose.rotation = m.slerp(turned, upright, Math.abs(steep) > 1.5 ? 1 : effort);
    }

    /** Move eye and pivot by units in the eye's own axes. @param {Vector} step */
    move(step) {
        this.release();
        this.pose.eye = m.add(this.pose.eye, m.rotate(this.pose.rotation, step));
    }

    /** Come nearer to a point, which stays where it is in the picture. @param {Vector} point @param {number} factor of all distances */
    zoom(point, factor) {
        this.release();
        this.pose.eye = m.add(point, m.scale(m.subtract(this.pose.eye, point), factor));
        this.pose.distance *= factor;
    }

    /** End a flight and stop looking through a camera; place and field of view stay. */
    release() {
        this.flight = null;
        this.pose = { ...this.pose, through: null };
    }

    /** Fly to a pose. @param {Pose} to @param {number} now in ms @param {boolean} atOnce */
    flyTo(to, now, atOnce = false) {
        if (atOnce) {
            this.flight = null;
            this.pose = to;
            return;
        }
        this.flight = { from: { ...this.pose }, to, start: now, length: FLIGHT_MS };
        this.share = 0;
    }

    get progress() {
        const x = this.share || 0;
        return x * x * (3 - 2 * x);
    }

    /** Go on with a flight; true while there is one. @param {number} now in ms */
    step(now) {
        if (!this.flight) return false;
        const { from, to, start, length } = this.flight;
        this.share = Math.min(1, Math.max(0, (now - start) / length));
        if (this.share >= 1) {
            this.pose = to;
            this.flight = null;
            return true;
        }
        const share = this.progress;
        this.pose = {
            eye: m.mix(from.eye, to.eye, share),
            rotation: m.slerp(from.rotation, to.rotation, share),
            distance: from.distance ** (1 - share) * to.distance ** share,
            lens: from.lens,
            through: null,
        };
        return true;
    }
}

/** Edges that hold the lens (or the usual field of view) as a whole in a picture of this aspect. @param {Tangents | null} lens @param {number} aspect @returns {Tangents} */
export function fitted(lens, aspect) {
    const slope = Math.tan(FIELD_OF_VIEW / 2);
    const { left, right, bottom, top } = lens || { left: -slope, right: slope, bottom: -slope, top: slope };
    const across = Math.max(0, (top - bottom) * aspect - (right - left)) / 2;
    const along = Math.max(0, (right - left) / aspect - (top - bottom)) / 2;
    return { left: left - across, right: right + across, bottom: bottom - along, top: top + along };
}

/**
 * The pose from which all points are seen, looking along `forward`.
 *
 * @param {Vector[]} points
 * @param {Vector} forward
 * @param {Vector} up
 * @param {number} aspect
 * @param {boolean} parallel
 * @returns {Pose}
 */
export function fit(points, forward, up, aspect, parallel) {
    const rotation = m.lookAlong(forward, up);
    const axes = /** @type {Vector[]} */ ([[1, 0, 0], [0, 1, 0], [0, 0, -1]]).map((axis) => m.rotate(rotation, axis));
    const seen = points.map((point) => axes.map((axis) => m.dot(axis, point))); // right, up, ahead
    const edges = fitted(null, aspect);
    const slopes = [edges.right * 0.92, edges.top * 0.92];
    const range = (/** @type {(place: number[]) => number} */ value) => seen.reduce(
        ([low, high], place) => [Math.min(low, value(place)), Math.max(high, value(place))], [Infinity, -Infinity]);
    const middle = range((place) => place[2]).reduce((a, b) => a + b) / 2;
    let [back, aside] = [0, [0, 0]];
    for (const axis of [0, 1]) {
        const slope = slopes[axis];
        const high = range((place) => place[axis] + (parallel ? 0 : slope * (middle - place[2])))[1];
        const low = range((place) => place[axis] - (parallel ? 0 : slope * (middle - place[2])))[0];
        aside[axis] = (high + low) / 2;
        back = Math.max(back, (high - low) / 2 / slope);
    }
    back = Math.max(back, 1e-6);
    const target = m.add(m.add(m.scale(axes[0], aside[0]), m.scale(axes[1], aside[1])), m.scale(axes[2], middle));
    return { eye: m.subtract(target, m.scale(axes[2], back)), rotation, distance: back, lens: null, through: null };
}
