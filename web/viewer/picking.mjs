/** What is at a place of the picture: points with all that is known of them, and cameras. */
import { depthFrom, forward } from "./data/cameras.mjs";
import { cameraUnder } from "./scene/camera_picking.mjs";
import { frustumDepth } from "./scene/decorations.mjs";
import { add, scale, toClip } from "./scene/matrices.mjs";

/** @typedef {import("./viewer.mjs").Viewer} Viewer @typedef {import("./scene/matrices.mjs").Vector} Vector */

export class Picking {
    /** @param {Viewer} viewer */
    constructor(viewer) {
        this.viewer = viewer;
    }

    /** The point at a place of the picture, in CSS pixels; null for none. @param {number} x @param {number} y */
    pointAt(x, y) {
        const { cloud, renderer } = this.viewer;
        const index = cloud && renderer ? renderer.pick(this.viewer.scene(), x, y) : -1;
        return index < 0 ? null : this.describe(index);
    }

    /** @param {number} index @returns {import("./scene/measure.mjs").PickedPoint} */
    describe(index) {
        const { cloud, cameraOf } = this.viewer;
        const position = cloud.position(index);
        const frame = cloud.frame(index);
        const camera = frame === null ? undefined : cameraOf.get(frame);
        const confidence = cloud.confidence ? cloud.confidence[index] : null;
        return {
            position,
            frame,
            name: camera ? camera.name : null,
            confidence,
            rank: confidence === null ? null : cloud.percentBelow(confidence),
            depth: camera ? depthFrom(camera, position) : null,
            color: /** @type {any} */ ([...cloud.colors.subarray(4 * index, 4 * index + 3)]),
        };
    }

    /** Function from a point to its place in CSS pixels and how far ahead it is; null behind the eye. */
    projector() {
        const { view, layout, pixels } = this.viewer;
        const { both } = view.matrices(layout.center, layout.far);
        return (/** @type {Vector} */ point) => {
            const [x, y, z, w] = toClip(both, point);
            if (w <= 0 || z < -w) return null;
            return { x: ((x / w + 1) / 2) * pixels[0], y: ((1 - y / w) / 2) * pixels[1], z: z / w };
        };
    }

    /** The frame whose frustum is drawn at a place, or null. @param {number} x @param {number} y */
    cameraAt(x, y) {
        const { options, set, navigation, tooNear } = this.viewer;
        if (!options.frusta || navigation.looking !== null) return null;
        const cameras = set.cameras.filter(({ frame }) => !tooNear.has(frame));
        return cameraUnder(cameras, this.cameraDepth, this.projector(), [x, y]);
    }

    /** What a click does: look through the camera there, else pick the point there. @param {number} x @param {number} y */
    click(x, y) {
        const { measure, navigation } = this.viewer;
        const frame = measure.active ? null : this.cameraAt(x, y);
        if (frame !== null && !this.isHidden(frame, x, y)) navigation.look(frame);
        else this.pickAt(x, y);
    }

    /** Pick the point at a place; it becomes one end of a distance while measuring. @param {number} x @param {number} y */
    pickAt(x, y) {
        const { measure } = this.viewer;
        const point = this.pointAt(x, y);
        if (point) measure.take(point);
        else if (!measure.active) measure.clear();
        this.viewer.emit("pick", point);
        this.viewer.invalidate();
        return point;
    }

    get cameraDepth() {
        return frustumDepth(this.viewer);
    }

    /** Whether a point at this place is in front of a camera's image plane. @param {number} frame @param {number} x @param {number} y */
    isHidden(frame, x, y) {
        const point = this.pointAt(x, y);
        const camera = this.viewer.cameraOf.get(frame);
        if (!point) return false;
        const project = this.projector();
        const middle = project(add(camera.position, scale(forward(camera), this.cameraDepth)));
        const tip = project(camera.position);
        return project(point.position)?.z < Math.min(middle?.z ?? 1, tip?.z ?? 1);
    }
}
