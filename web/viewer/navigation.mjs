/** Where the viewer looks from: home and sides, the cameras, one frame after another. */
import { depthFrom, tangents } from "./data/cameras.mjs";
import { add, distance, lookAlong, normalize, scale, subtract } from "./scene/matrices.mjs";
import { homePose, sidePose, wholePose } from "./scene/viewpoints.mjs";

/** @typedef {import("./viewer.mjs").Viewer} Viewer */

const NEARER = 0.6; // share of the distance that is left after coming nearer

export class Navigation {
    /** @param {Viewer} viewer */
    constructor(viewer) {
        this.viewer = viewer;
        /** @type {number | null} frame that steps go on from */
        this.current = null;
        /** @type {number | null} frame under the pointer */
        this.hovered = null;
        this.isHome = true; // until it is moved, the view follows the size of the window
    }

    /** The frame that is looked through, or flown to for that; null for none. */
    get looking() {
        const { flight, pose } = this.viewer.view;
        return flight ? flight.to.through : pose.through;
    }

    /** @param {boolean} [atOnce] */
    home(atOnce = false) {
        this.fly(homePose(this.viewer.layout, this.viewer.view), atOnce);
        this.isHome = true;
    }

    /** Everything, far away things and cameras too. */
    whole() {
        this.fly(wholePose(this.viewer.layout, this.viewer.view));
    }

    /** @param {"top" | "front" | "side"} side */
    lookFrom(side) {
        this.fly(sidePose(this.viewer.layout, this.viewer.view, side));
    }

    /** Fly to the camera of a frame and look through it. @param {number} frame */
    look(frame) {
        const { layout, cameraOf } = this.viewer;
        const camera = cameraOf.get(frame);
        if (!camera) return;
        this.setCurrent(frame);
        const away = Math.max(depthFrom(camera, layout.center), 0.3 * layout.size);
        this.fly({
            eye: camera.position, rotation: camera.rotation, distance: away, lens: tangents(camera), through: frame,
        });
    }

    /** Stop looking through a camera, staying where it is. */
    leave() {
        if (this.looking === null) return;
        this.viewer.view.release();
        this.moved();
    }

    /** The next frame or the one before: shown alone if one is shown alone, else looked through. @param {number} step */
    stepFrame(step) {
        const { frames, options } = this.viewer;
        if (!frames.length) return;
        const at = this.current === null ? (step > 0 ? -1 : 0) : frames.indexOf(this.current);
        const frame = frames[(at + step + frames.length) % frames.length];
        const isAlone = options.frames?.length === 1;
        if (isAlone) this.viewer.setOptions({ frames: [frame] });
        if (!isAlone || this.looking !== null) this.look(frame);
        this.setCurrent(frame);
    }

    /** Show the points of the current frame alone, or of all again. */
    toggleAlone() {
        const { frames, options } = this.viewer;
        const frame = this.current ?? frames[0];
        if (frame === undefined) return;
        this.setCurrent(frame);
        this.viewer.setOptions({ frames: options.frames?.length === 1 ? null : [frame] });
    }

    /** @param {number | null} frame */
    setCurrent(frame) {
        if (frame === this.current) return;
        this.current = frame;
        this.viewer.decorate();
        this.viewer.emit("current", frame);
    }

    /** @param {number | null} frame */
    setHovered(frame) {
        if (frame === this.hovered) return;
        this.hovered = frame;
        this.viewer.canvas.style.cursor = frame === null ? "" : "pointer";
        this.viewer.decorate();
        this.viewer.emit("hover", frame);
    }

    /** Turn about the point at a place of the picture from now on, and come nearer. @param {number} x @param {number} y */
    approach(x, y) {
        const { view, layout, picking } = this.viewer;
        const point = picking.pointAt(x, y);
        if (!point) return;
        const { pose } = view;
        const ahead = view.isParallel ? view.forward : normalize(subtract(point.position, pose.eye));
        const rotation = view.isParallel ? pose.rotation : lookAlong(ahead, layout.up);
        const away = NEARER * (view.isParallel ? pose.distance : distance(pose.eye, point.position));
        const eye = add(point.position, scale(ahead, -away));
        this.fly({ eye, rotation, distance: away, lens: pose.lens, through: null });
    }

    /** @param {import("./scene/view.mjs").Pose} pose @param {boolean} [atOnce] */
    fly(pose, atOnce = false) {
        const isCalm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
        this.viewer.view.flyTo(pose, performance.now(), atOnce || isCalm);
        this.moved();
    }

    /** The view was changed by hand or by a flight. */
    moved() {
        this.isHome = false;
        this.viewer.pace.touch(performance.now());
        this.viewer.emit("view");
        this.viewer.invalidate();
    }
}
