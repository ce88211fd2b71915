/**
 * Talks with the page around this one by messages; docs/viewer.md lists them. Only the parent's messages are taken, and only
 * those of its own origin unless the address names another (?origin=https://...).
 */
import { Problem } from "./data/problem.mjs";
import { add, compose, rotate, subtract } from "./scene/matrices.mjs";
import { problemText } from "./ui/messages.mjs";
import { screenshot } from "./ui/screenshot.mjs";

/** @typedef {import("./viewer.mjs").Viewer} Viewer */

export class Embedder {
    /** @param {Viewer} viewer @param {string} origin of the page around */
    constructor(viewer, origin) {
        this.viewer = viewer;
        this.origin = origin;
        this.isFollowed = false; // whether the page around wants to hear of every pose
        /** @type {string | null} the pose that it knows */
        this.told = null;
        window.addEventListener("message", (event) => this.receive(event));
        this.tell();
    }

    /** @param {MessageEvent} event */
    async receive({ data, source, origin }) {
        if (source !== window.parent || origin !== this.origin || typeof data?.manyview !== "string") return;
        if (!Object.hasOwn(REQUESTS, data.manyview)) return;
        const { id = null } = data;
        try {
            const value = await REQUESTS[data.manyview](this.viewer, data, this);
            this.send({ manyview: "reply", id, ok: true, value: value ?? null });
        } catch (error) {
            this.send({ manyview: "reply", id, ok: false, error: problemText(error) });
        }
    }

    /** @param {Record<string, any>} message */
    send(message) {
        window.parent.postMessage(message, this.origin);
    }

    /** Tell the page around what happens here. */
    tell() {
        const { viewer } = this;
        const event = (/** @type {string} */ name, /** @type {Record<string, any>} */ about) => this.send({ manyview: "event", event: name, ...about });
        viewer.on("progress", (progress) => event("progress", { progress }));
        viewer.on("cloud", () => event("loaded", { state: state(viewer) }));
        viewer.on("problem", (problem) => event("problem", { text: problemText(problem) }));
        viewer.on("options", (options) => event("options", { options }));
        viewer.on("current", (frame) => event("camera", { frame, name: viewer.cameraOf.get(frame)?.name ?? null }));
        viewer.on("pick", (point) => {
            if (point) event("point", { point });
            const { units, meters, points } = viewer.measure;
            if (units !== null) event("distance", { units, meters, points });
        });
        viewer.on("frame", () => {
            if (!this.isFollowed) return;
            const pose = relativePose(viewer);
            const text = JSON.stringify(pose);
            if (text !== this.told) event("pose", { pose });
            this.told = text;
        });
        viewer.on("scale", (scale) => event("scale", scale));
        event("ready", {});
    }
}

/** @type {Record<string, (viewer: Viewer, message: Record<string, any>, embedder: Embedder) => any>} */
const REQUESTS = {
    async load(viewer, { cloud, cameras, options, keepView }) {
        if (options) viewer.setOptions(options);
        await viewer.load({ cloud, cameras, keepView });
        return state(viewer);
    },
    options: (viewer, { options }) => viewer.setOptions(options || {}),
    state: (viewer) => state(viewer),
    home: (viewer) => viewer.navigation.home(),
    whole: (viewer) => viewer.navigation.whole(),
    view(viewer, { side }) {
        if (!["top", "front", "side"].includes(side)) throw new Problem("option.value", { name: "side", value: String(side) });
        viewer.navigation.lookFrom(side);
    },
    look(viewer, { frame }) {
        if (!viewer.cameraOf.has(frame)) throw new Problem("option.value", { name: "frame", value: String(frame) });
        viewer.navigation.look(frame);
    },
    follow: (viewer, { active = true }, embedder) => { embedder.isFollowed = Boolean(active); },
    pose(viewer, { pose }, embedder) {
        placeAt(viewer, pose);
        embedder.told = JSON.stringify(relativePose(viewer)); // who has been led there does not tell it
    },
    leave: (viewer) => viewer.navigation.leave(),
    pick: (viewer, { x, y }) => viewer.picking.pickAt(x, y),
    measure: (viewer, { active = true }) => viewer.setMeasuring(Boolean(active)),
    scale: (viewer, { metersPerUnit }) => viewer.setScale(metersPerUnit),
    screenshot: (viewer) => screenshot(viewer),
};

/**
 * From where the viewer looks, as the first camera sees it, so that another viewer of the same photos can look alike.
 *
 * @param {Viewer} viewer
 */
function relativePose({ view: { pose }, set }) {
    const { eye, rotation, distance } = pose;
    const first = set.cameras[0];
    if (!first) return { eye: [...eye], rotation: [...rotation], distance };
    const [x, y, z, w] = first.rotation;
    const back = /** @type {[number, number, number, number]} */ ([-x, -y, -z, w]);
    return { eye: rotate(back, subtract(eye, first.position)), rotation: compose(back, rotation), distance };
}

/** Look from a pose that `relativePose` of another viewer gave. @param {Viewer} viewer @param {any} pose */
function placeAt(viewer, pose) {
    const isFit = [...(pose?.eye || []), ...(pose?.rotation || []), pose?.distance].filter(Number.isFinite).length === 8;
    if (!isFit) throw new Problem("option.value", { name: "pose", value: String(JSON.stringify(pose)).slice(0, 80) });
    const first = viewer.set.cameras[0];
    const turned = first ? rotate(first.rotation, pose.eye) : pose.eye;
    const eye = first ? add(first.position, turned) : turned;
    const rotation = first ? compose(first.rotation, pose.rotation) : pose.rotation;
    viewer.navigation.fly({ eye, rotation, distance: pose.distance, lens: null, through: null }, true);
}

/** All that a page around may want to know or keep. @param {Viewer} viewer */
export function state(viewer) {
    const { cloud, set, view, navigation, measure, options, shown, pace, layout, least, box } = viewer;
    return {
        points: cloud ? cloud.count : 0,
        shown,
        dropped: cloud ? cloud.dropped : 0,
        frames: [...viewer.frames],
        cameras: set.cameras.length,
        options: { ...options },
        least: Number.isFinite(least) ? least : null,
        box: options.clip && layout ? { axes: layout.axes.map((axis) => [...axis]), ...box } : null,
        current: navigation.current,
        looking: navigation.looking,
        view: {
            position: [...view.pose.eye],
            target: [...view.pivot],
            quaternion: [...view.pose.rotation],
            up: [...layout.up],
            tangents: view.tangents,
            projection: view.isParallel ? "orthographic" : "perspective",
        },
        measure: {
            points: measure.points,
            units: measure.units,
            meters: measure.meters,
            metersPerUnit: measure.metersPerUnit,
        },
        framesPerSecond: pace.rate,
        settled: !viewer.isBusy && !view.flight && !viewer.requested && !viewer.pendingPhotos && !viewer.counting,
    };
}
