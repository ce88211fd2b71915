/** The keyboard: keys held to fly, and keys that do one thing each (listed by the help). */

/** @typedef {import("./viewer.mjs").Viewer} Viewer */

/** @type {Record<string, [number, number, number]>} right, up, back */
const FLY = {
    KeyW: [0, 0, -1], KeyS: [0, 0, 1], KeyA: [-1, 0, 0], KeyD: [1, 0, 0], KeyQ: [0, -1, 0], KeyE: [0, 1, 0],
    ArrowUp: [0, 0, -1], ArrowDown: [0, 0, 1],
};
const SPEED = 0.35; // of the scene's size a second
const STEP_MS = 50;
const WIDGETS = "input, select, textarea, [contenteditable]";

export class Keys {
    /** @param {Viewer} viewer @param {Record<string, () => void>} actions by key, as KeyboardEvent.key gives it */
    constructor(viewer, actions) {
        this.viewer = viewer;
        this.actions = actions;
        this.held = new Set();
        this.last = 0;
        window.addEventListener("keydown", (event) => this.down(event));
        window.addEventListener("keyup", (event) => this.held.delete(event.code));
        window.addEventListener("blur", () => this.held.clear());
        viewer.on("tick", (now) => this.tick(now));
    }

    /** @param {KeyboardEvent} event */
    down(event) {
        const target = /** @type {Element} */ (event.target);
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        if (target.matches?.(WIDGETS) && event.key !== "Escape") return;
        if (document.querySelector("dialog[open]") && event.key !== "?") return; // it closes by itself
        if (FLY[event.code]) {
            if (!this.held.size) this.last = performance.now() - STEP_MS / 3;
            this.held.add(event.code);
            this.fast = event.shiftKey;
            this.viewer.invalidate();
            event.preventDefault();
            return;
        }
        const action = this.actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
        if (!action || (event.key === " " && target.matches?.("button, summary"))) return;
        event.preventDefault();
        action();
    }

    /** @param {number} now */
    tick(now) {
        if (!this.held.size) return;
        const seconds = Math.min(STEP_MS, Math.max(0, now - this.last)) / 1000;
        this.last = now;
        const { view, layout } = this.viewer;
        const unit = seconds * SPEED * layout.size * (this.fast ? 4 : 1);
        const step = [0, 1, 2].map((axis) => [...this.held].reduce((sum, code) => sum + FLY[code][axis], 0) * unit);
        view.move(/** @type {[number, number, number]} */ (step));
        this.viewer.navigation.moved();
    }
}
