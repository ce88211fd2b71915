/** Mouse, touch and pen on the canvas: turn, shift, zoom to the pointer, pick. */
import { add, dot, scale, subtract } from "./scene/matrices.mjs";

/** @typedef {import("./viewer.mjs").Viewer} Viewer */

const TURN = 0.0055; // radians a pixel
const LOOK = 0.003;
const CLICK_PX = 5;
const WHEEL = 0.0012;
const WHEEL_REST_MS = 250;
const DOUBLE_MS = 350;

export class Controls {
    /** @param {Viewer} viewer */
    constructor(viewer) {
        this.viewer = viewer;
        /** @type {Map<number, {x: number, y: number}>} */
        this.pointers = new Map();
        this.travel = 0;
        this.shifts = false;
        this.wheelAt = -Infinity;
        this.lastClick = { at: -Infinity, x: 0, y: 0 };
        this.listen(viewer.canvas);
        viewer.on("canvas", (canvas) => this.listen(canvas));
    }

    /** @param {HTMLCanvasElement} canvas */
    listen(canvas) {
        canvas.addEventListener("pointerdown", (event) => this.down(event));
        canvas.addEventListener("pointermove", (event) => this.move(event));
        canvas.addEventListener("pointerup", (event) => this.up(event));
        canvas.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
        canvas.addEventListener("pointerleave", () => this.viewer.navigation.setHovered(null));
        canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
        canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    }

    /** @param {PointerEvent} event */
    down(event) {
        const canvas = /** @type {HTMLCanvasElement} */ (event.target);
        canvas.focus({ preventScroll: true });
        canvas.setPointerCapture(event.pointerId);
        this.pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
        if (this.pointers.size === 1) this.travel = 0;
        this.shifts = event.button > 0 || event.shiftKey || event.ctrlKey || event.metaKey;
        event.preventDefault();
    }

    /** @param {PointerEvent} event */
    move(event) {
        const before = this.pointers.get(event.pointerId);
        if (!before) {
            this.viewer.navigation.setHovered(this.viewer.picking.cameraAt(event.offsetX, event.offsetY));
            return;
        }
        const now = { x: event.offsetX, y: event.offsetY };
        const [dx, dy] = [now.x - before.x, now.y - before.y];
        this.travel += Math.abs(dx) + Math.abs(dy);
        const others = [...this.pointers.entries()].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
        this.pointers.set(event.pointerId, now);
        if (this.travel < CLICK_PX) return;
        if (others.length) this.pinch(before, now, others[0]);
        else if (this.shifts) this.shift(dx, dy);
        else this.turn(dx, dy);
        this.viewer.navigation.moved();
    }

    /** @param {PointerEvent} event */
    up(event) {
        const isLast = this.pointers.delete(event.pointerId) && !this.pointers.size;
        if (!isLast || this.travel >= CLICK_PX || event.button > 0) return;
        const { offsetX: x, offsetY: y, timeStamp: at } = event;
        const { lastClick } = this;
        this.lastClick = { at, x, y };
        if (at - lastClick.at < DOUBLE_MS && Math.hypot(x - lastClick.x, y - lastClick.y) < 2 * CLICK_PX) {
            this.lastClick.at = -Infinity;
            this.viewer.navigation.approach(x, y);
        } else this.viewer.picking.click(x, y);
    }

    /** @param {WheelEvent} event */
    wheel(event) {
        event.preventDefault();
        const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
        const delta = Math.max(-300, Math.min(300, event.deltaY * lines)) * (event.ctrlKey ? 5 : 1); // pinch on a touchpad
        const now = performance.now();
        if (now - this.wheelAt > WHEEL_REST_MS) this.anchor = this.pointUnder(event.offsetX, event.offsetY);
        this.wheelAt = now;
        this.viewer.view.zoom(this.anchor, Math.exp(delta * WHEEL));
        this.viewer.navigation.moved();
    }

    /** @param {number} dx @param {number} dy */
    turn(dx, dy) {
        const { view, options } = this.viewer;
        if (options.navigation === "fly") view.turnBy(dx * LOOK, -dy * LOOK);
        else view.orbit(dx * TURN, -dy * TURN);
    }

    /** @param {number} dx @param {number} dy */
    shift(dx, dy) {
        const { view, pixels } = this.viewer;
        const unit = view.pose.distance / view.pixelsPerUnit(pixels[1]);
        view.move([-dx * unit, dy * unit, 0]);
    }

    /** Two fingers: shift by their middle, zoom by their distance. @param {{x: number, y: number}} before @param {{x: number, y: number}} now @param {{x: number, y: number}} other */
    pinch(before, now, other) {
        this.shift((now.x - before.x) / 2, (now.y - before.y) / 2);
        const spread = (/** @type {{x: number, y: number}} */ place) => Math.max(10, Math.hypot(place.x - other.x, place.y - other.y));
        const middle = this.onPivotPlane((now.x + other.x) / 2, (now.y + other.y) / 2);
        this.viewer.view.zoom(middle, spread(before) / spread(now));
    }

    /** The point of the scene under the pointer, or else a place as far away as the pivot. @param {number} x @param {number} y */
    pointUnder(x, y) {
        return this.viewer.picking.pointAt(x, y)?.position || this.onPivotPlane(x, y);
    }

    /** @param {number} x @param {number} y */
    onPivotPlane(x, y) {
        const { view, pixels } = this.viewer;
        const { from, along } = view.ray((2 * x) / pixels[0] - 1, 1 - (2 * y) / pixels[1]);
        const ahead = dot(subtract(view.pivot, from), view.forward) / dot(along, view.forward);
        return add(from, scale(along, ahead));
    }
}
