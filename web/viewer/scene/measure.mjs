/** Points that were picked, the distance between two of them, and what one unit is in metres. */
import { distance } from "./matrices.mjs";

/**
 * @typedef {import("./matrices.mjs").Vector} Vector
 * @typedef {{position: Vector, frame: number | null, name: string | null, confidence: number | null,
 *   rank: number | null, depth: number | null, color: [number, number, number]}} PickedPoint
 *   rank: share of the points, in percent, that are trusted less
 */

export const METERS = { m: 1, cm: 0.01, mm: 0.001, ft: 0.3048, in: 0.0254 };

export class Measure {
    constructor() {
        /** @type {PickedPoint[]} one, or two with a distance between */
        this.points = [];
        this.active = false;
        /** @type {number | null} */
        this.metersPerUnit = null;
    }

    /** Take a point: while measuring the second one of a distance, otherwise the only one. @param {PickedPoint} point */
    take(point) {
        this.points = this.active && this.points.length === 1 ? [this.points[0], point] : [point];
    }

    clear() {
        this.points = [];
    }

    /** Distance in scene units, null without two points. */
    get units() {
        return this.points.length === 2 ? distance(this.points[0].position, this.points[1].position) : null;
    }

    /** Distance in metres, null where the scale is unknown. */
    get meters() {
        return this.units !== null && this.metersPerUnit ? this.units * this.metersPerUnit : null;
    }

    /**
     * The measured distance is really so long.
     *
     * @param {number} value
     * @param {keyof typeof METERS} unit
     * @returns {boolean} whether that makes a scale
     */
    calibrate(value, unit) {
        if (!this.units || !(value > 0) || !METERS[unit]) return false;
        this.metersPerUnit = (value * METERS[unit]) / this.units;
        return true;
    }
}
