/** The viewer without its panels: what is shown, from where, and the loop that draws it when something has changed. */
import { isWalk } from "./data/cameras.mjs";
import { loadCameras, loadCloud } from "./data/loading.mjs";
import { Problem } from "./data/problem.mjs";
import { frameTable } from "./draw/frame_table.mjs";
import { Renderer } from "./draw/renderer.mjs";
import { Navigation } from "./navigation.mjs";
import { Picking } from "./picking.mjs";
import { frameColors } from "./scene/color_maps.mjs";
import { frustumDepth, lines, photos, tooNearFrames } from "./scene/decorations.mjs";
import { clipBox, countShown, hiddenFrames, leastConfidence } from "./scene/filters.mjs";
import { Layout } from "./scene/layout.mjs";
import { Measure } from "./scene/measure.mjs";
import { checkOption, initialOptions } from "./scene/options.mjs";
import { Pace } from "./scene/pace.mjs";
import { Signals } from "./scene/signals.mjs";
import { backgroundOf } from "./scene/theme.mjs";
import { View } from "./scene/view.mjs";
import { t } from "./ui/strings.mjs";

/** @typedef {import("./data/cameras.mjs").CameraSet} CameraSet */

/** @type {CameraSet} */
const NO_CAMERAS = { cameras: [], up: null, metersPerUnit: null, focus: null };

/**
 * Signals: canvas (a new one), progress, cloud (something else is shown), problem, lost (the browser took the context
 * away), options (the changed ones), count (points shown), view, current and hover (frames), pick (a point), scale,
 * tick (before a picture is drawn, in ms), frame (after it).
 */
export class Viewer extends Signals {
    /** @param {HTMLElement} stage the canvas is put into it */
    constructor(stage) {
        super();
        this.stage = stage;
        this.options = initialOptions();
        /** @type {Set<string>} options that somebody has set */
        this.decided = new Set();
        this.view = new View();
        this.measure = new Measure();
        this.pace = new Pace();
        this.navigation = new Navigation(this);
        this.picking = new Picking(this);
        /** @type {import("./data/cloud.mjs").Cloud | null} */
        this.cloud = null;
        /** @type {CameraSet} */
        this.set = NO_CAMERAS;
        this.pixels = [1, 1];
        this.shown = 0;
        this.isBusy = false;
        this.pendingPhotos = 0;
        /** @type {any[] | null} what the layout was made from */
        this.basis = null;
        this.start();
        this.arrange();
        new ResizeObserver(() => this.resize()).observe(stage);
    }

    /** A canvas with its renderer; again after the browser took the context away. */
    start() {
        this.canvas?.remove();
        this.canvas = document.createElement("canvas");
        this.canvas.tabIndex = 0;
        this.canvas.role = "application";
        this.canvas.ariaLabel = t("canvas");
        this.canvas.addEventListener("webglcontextlost", (event) => {
            event.preventDefault();
            this.renderer = null;
            this.emit("lost");
        });
        this.stage.prepend(this.canvas);
        this.renderer = new Renderer(this.canvas);
        this.emit("canvas", this.canvas);
        this.resize();
        if (this.layout) {
            this.renderer.points.setCloud(this.cloud);
            this.loadPhotos();
            this.arrange();
        }
    }

    resize() {
        const { clientWidth: width, clientHeight: height } = this.stage;
        if (!width || !height || !this.renderer) return;
        this.pixels = [width, height];
        this.view.aspect = width / height;
        this.renderer.resize(width, height, window.devicePixelRatio || 1);
        if (this.layout && this.navigation.isHome) this.navigation.home(true);
        this.invalidate();
    }

    /**
     * Show other files. Whatever fails is told by the signal "problem" and thrown; what was shown stays.
     *
     * @param {{cloud?: import("./data/loading.mjs").Source | null, cameras?: any, keepView?: boolean}} what
     */
    async load({ cloud = null, cameras = null, keepView = false }) {
        this.abort?.abort();
        const abort = new AbortController();
        this.abort = abort;
        this.isBusy = true;
        this.emit("progress", { bytes: 0, total: null, points: 0, announced: 0 });
        try {
            const set = cameras ? await loadCameras(cameras, abort.signal) : NO_CAMERAS;
            const found = cloud ? await loadCloud(cloud, (done) => this.emit("progress", done), abort.signal) : null;
            abort.signal.throwIfAborted();
            this.show(found, set, keepView);
        } catch (error) {
            if (abort.signal.aborted) return;
            this.isBusy = false;
            const problem = error instanceof RangeError ? new Problem("file.memory") : error;
            this.emit("problem", problem);
            throw problem;
        }
    }

    /** Other cameras for the cloud that is shown. @param {any} cameras */
    async loadCamerasOnly(cameras) {
        try {
            this.show(this.cloud, await loadCameras(cameras, new AbortController().signal), false);
        } catch (problem) {
            this.emit("problem", problem);
            throw problem;
        }
    }

    /** @param {import("./data/cloud.mjs").Cloud | null} cloud @param {CameraSet} set @param {boolean} keepView */
    show(cloud, set, keepView) {
        const isFirst = !this.cloud && !this.set.cameras.length;
        this.isBusy = false;
        this.cloud = cloud;
        this.set = set;
        this.measure.clear();
        if (set.metersPerUnit || !keepView) this.measure.metersPerUnit = set.metersPerUnit;
        this.renderer?.points.setCloud(cloud);
        this.nameFrames();
        this.loadPhotos();
        this.arrange();
        this.choosePath();
        this.pace.reset(cloud ? cloud.count : 0);
        if (!keepView || isFirst) {
            this.navigation.setCurrent(null);
            this.navigation.home(true);
        }
        this.emit("cloud");
        this.emit("pick");
    }

    /** Frames that have a camera or points, each with its colour. */
    nameFrames() {
        const counts = this.cloud ? this.cloud.frameCounts : new Map();
        const frames = new Set([...this.set.cameras.map((camera) => camera.frame), ...counts.keys()]);
        this.frames = [...frames].sort((a, b) => a - b);
        const colors = frameColors(this.frames.length);
        /** @type {Map<number, import("./scene/color_maps.mjs").Color>} */
        this.colors = new Map(this.frames.map((frame, i) => [frame, colors[i]]));
        this.cameraOf = new Map(this.set.cameras.map((camera) => [camera.frame, camera]));
    }

    /** Photos come one by one; each is drawn when it is there. */
    loadPhotos() {
        const { renderer, set } = this;
        if (!renderer) return;
        renderer.photos.prepare(set.cameras.length);
        this.pendingPhotos = 0;
        set.cameras.forEach(({ thumbnail }, layer) => {
            if (!thumbnail) return;
            this.pendingPhotos += 1;
            const photo = new Image();
            photo.src = thumbnail;
            photo.decode().then(() => {
                if (this.set === set && this.renderer === renderer) renderer.photos.put(layer, photo);
            }).catch(() => { /* the frustum stays empty */ }).finally(() => {
                if (this.set === set && this.renderer === renderer) this.pendingPhotos -= 1;
                this.invalidate();
            });
        });
    }

    /** @param {Record<string, any>} changes */
    setOptions(changes) {
        const checked = Object.entries(changes).map(([name, value]) => [name, checkOption(name, value)]);
        const changed = Object.fromEntries(checked.filter(([name, value]) =>
            JSON.stringify(this.options[name]) !== JSON.stringify(value)));
        for (const [name] of checked) this.decided.add(name);
        if (!Object.keys(changed).length) return;
        Object.assign(this.options, changed);
        this.arrange();
        this.emit("options", changed);
    }

    // --- measuring ---

    /** @param {boolean} isOn */
    setMeasuring(isOn) {
        if (isOn === this.measure.active) return;
        this.measure.active = isOn;
        if (isOn) this.measure.clear();
        this.emit("measuring");
        this.invalidate();
    }

    clearPoints() {
        this.measure.clear();
        this.emit("pick", null);
        this.invalidate();
    }

    /** The measured distance is really so long. @param {number} value @param {any} unit */
    calibrate(value, unit) {
        if (!this.measure.calibrate(value, unit)) return;
        const { metersPerUnit, meters, units, points } = this.measure;
        this.emit("scale", { metersPerUnit, meters, units, points });
        this.invalidate();
    }

    /** One unit is so many metres; null: unknown. @param {number | null} metersPerUnit */
    setScale(metersPerUnit) {
        if (metersPerUnit !== null && !(metersPerUnit > 0 && Number.isFinite(metersPerUnit))) {
            throw new Problem("option.value", { name: "metersPerUnit", value: String(metersPerUnit) });
        }
        this.measure.metersPerUnit = metersPerUnit;
        this.emit("scale", { metersPerUnit, meters: null, units: null, points: [] });
        this.invalidate();
    }

    // --- what follows from cloud, cameras and options ---

    /** The path of the cameras is shown if there is one, unless somebody has decided about it. */
    choosePath() {
        if (this.decided.has("trajectory")) return;
        this.setOptions({ trajectory: isWalk(this.set.cameras) });
        this.decided.delete("trajectory");
    }

    /** Everything that follows from cloud, cameras and options. */
    arrange() {
        const { options, set, cloud } = this;
        if (!this.colors) this.nameFrames();
        const basis = [cloud, set, options.up];
        if (!this.basis || basis.some((part, i) => part !== this.basis[i])) {
            this.layout = new Layout(cloud, set, options.up);
            /** Depths between which the colour "depth" runs. */
            this.depths = cloud ? this.layout.depths(cloud) : null;
            this.basis = basis;
        }
        this.view.up = this.layout.up;
        this.view.parallel = options.projection === "orthographic";
        this.hidden = hiddenFrames(this.frames, options.frames);
        this.least = leastConfidence(cloud, options);
        this.box = clipBox(this.layout, options.clip);
        this.background = backgroundOf(options.background);
        this.range = { depth: this.depths && this.depths.map(Math.log), height: this.layout.heights }[options.color] || null;
        this.renderer?.points.setTable(frameTable(this.frames, this.cameraOf, this.colors, this.hidden));
        this.tooNear = this.nearCameras();
        this.decorate();
        clearTimeout(this.counting);
        this.counting = window.setTimeout(() => this.countShown(), cloud && cloud.count > 3e5 ? 60 : 0);
        this.invalidate();
    }

    nearCameras() {
        return tooNearFrames(this.set.cameras, this.view.pose.eye, frustumDepth(this));
    }

    /** Lines and photos, which also follow the frame that is marked. */
    decorate() {
        const { layout, options, colors, hidden } = this;
        const { current, hovered } = this.navigation;
        const { isDark } = this.background;
        const situation = { layout, options, colors, hidden, current, hovered, isDark, tooNear: this.tooNear };
        this.renderer?.lines.setLines(lines(situation));
        this.renderer?.photos.setPhotos(photos(situation));
        this.invalidate();
    }

    countShown() {
        this.counting = 0;
        const { cloud, least, hidden, box, options, layout } = this;
        this.shown = countShown(cloud, least, hidden, options.clip ? { axes: layout.axes, ...box } : null);
        this.emit("count", this.shown);
    }

    /** @returns {import("./draw/renderer.mjs").Scene} */
    scene() {
        const { view, layout, options, cloud, least, range, box, background } = this;
        const decorations = this.navigation.looking === null;
        return { view, layout, options, cloud, least, range, box, background: background.colors, decorations };
    }

    /** Do not draw the cameras that the eye has come into. */
    avoidCameras() {
        const near = this.nearCameras();
        if (near.size === this.tooNear.size && [...near].every((frame) => this.tooNear.has(frame))) return;
        this.tooNear = near;
        this.decorate();
    }

    /** Draw soon. */
    invalidate() {
        if (this.requested) return;
        this.requested = requestAnimationFrame((now) => {
            this.requested = 0;
            this.draw(now);
        });
    }

    /** @param {number} now */
    draw(now) {
        if (!this.renderer || !this.layout) return;
        const isFlying = this.view.step(now);
        if (isFlying) this.pace.touch(now);
        this.emit("tick", now);
        this.avoidCameras();
        this.renderer.draw(this.scene(), this.pace.points(now));
        this.pace.drawn(now);
        this.emit("frame");
        if (isFlying) this.emit("view");
        if (isFlying || this.pace.isMoving(now)) this.invalidate();
    }
}
