/** One picture of the scene: points on a canvas of their own, then shading, photos and lines on the screen. */
import { Problem } from "../data/problem.mjs";
import { Target } from "./gl.mjs";
import { LinesPass } from "./lines_pass.mjs";
import { PhotosPass } from "./photos_pass.mjs";
import { COLOR_MODES, PointsPass } from "./points_pass.mjs";
import { ShadingPass } from "./shading_pass.mjs";

/**
 * @typedef {{
 *   view: import("../scene/view.mjs").View, layout: import("../scene/layout.mjs").Layout, options: Record<string, any>,
 *   cloud: import("../data/cloud.mjs").Cloud | null, least: number, range: [number, number] | null,
 *   box: {low: number[], high: number[]}, background: [number[], number[]], decorations: boolean,
 * }} Scene everything that a picture shows
 */

const SMALLEST_POINT_PX = 1.5; // closes the gaps of a cloud that is seen from afar
const LARGEST_POINT_PX = 16; // at the usual size: what is right before the eye shall not hide the rest
const PICK_PX = 8; // how far from the pointer a point may be

export class Renderer {
    /** @param {HTMLCanvasElement} canvas */
    constructor(canvas) {
        const gl = canvas.getContext("webgl2", { antialias: true, alpha: false, powerPreference: "high-performance" });
        if (!gl) throw new Problem("webgl.missing");
        this.canvas = canvas;
        this.gl = gl;
        gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
        this.points = new PointsPass(gl);
        this.shading = new ShadingPass(gl);
        this.photos = new PhotosPass(gl);
        this.lines = new LinesPass(gl);
        /** @type {Target | null} */
        this.target = null;
        this.ratio = 1;
    }

    /** @param {number} width @param {number} height in CSS pixels @param {number} ratio device pixels each */
    resize(width, height, ratio) {
        const most = this.gl.getParameter(this.gl.MAX_TEXTURE_SIZE);
        this.ratio = Math.min(ratio, most / Math.max(width, height, 1));
        this.canvas.width = Math.max(1, Math.round(width * this.ratio));
        this.canvas.height = Math.max(1, Math.round(height * this.ratio));
    }

    /** @param {Scene} scene @param {number} count how many points to draw */
    draw(scene, count) {
        const { gl, canvas } = this;
        const matrices = scene.view.matrices(scene.layout.center, scene.layout.far);
        this.drawPoints(scene, matrices, count);
        gl.bindFramebuffer(gl.FRAMEBUFFER, null);
        gl.viewport(0, 0, canvas.width, canvas.height);
        gl.enable(gl.DEPTH_TEST);
        const [top, bottom] = scene.background;
        this.shading.draw(this.target, {
            u_top: top,
            u_bottom: bottom,
            u_planes: [matrices.near, matrices.far],
            u_strength: 2 * scene.options.shading,
            u_reach: Math.max(1, 1.2 * this.ratio),
            u_parallel: scene.view.isParallel,
            u_distance: scene.view.pose.distance,
        });
        if (!scene.decorations) return;
        this.photos.draw(matrices.both);
        this.lines.draw(matrices.both, [canvas.width, canvas.height], this.ratio);
    }

    /** @param {Scene} scene @param {any} matrices @param {number} count */
    drawPoints(scene, matrices, count) {
        const { gl, canvas } = this;
        if (!this.target || this.target.width !== canvas.width || this.target.height !== canvas.height) {
            this.target?.delete();
            this.target = new Target(gl, canvas.width, canvas.height, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE);
        }
        gl.bindFramebuffer(gl.FRAMEBUFFER, this.target.frame);
        gl.viewport(0, 0, canvas.width, canvas.height);
        gl.clearColor(0, 0, 0, 1);
        gl.enable(gl.DEPTH_TEST);
        gl.depthFunc(gl.LEQUAL);
        gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
        this.points.draw(this.uniforms(scene, matrices, count), count);
    }

    /** @param {Scene} scene @param {any} matrices @param {number} count */
    uniforms(scene, matrices, count) {
        const { options, layout, view, cloud } = scene;
        const isWorld = options.sizeMode === "world";
        const sparser = cloud && count < cloud.count ? Math.sqrt(cloud.count / Math.max(1, count)) : 1;
        const size = isWorld ? 1.25 * options.worldSize * view.pixelsPerUnit(this.canvas.height) : options.pixelSize * this.ratio;
        return {
            u_view: matrices.view,
            u_projection: matrices.projection,
            u_eye: view.isParallel ? view.forward.map((value) => -value) : view.pose.eye,
            u_up: layout.up,
            u_box_axes: [0, 1, 2].flatMap((column) => layout.axes.map((axis) => axis[column])),
            u_box_low: scene.box.low,
            u_box_high: scene.box.high,
            u_range: scene.range || [0, 1],
            u_least: Math.max(scene.least, -3e38),
            u_mode: { int: COLOR_MODES.indexOf(options.color) },
            u_world: isWorld,
            u_parallel: view.isParallel,
            u_hide_backs: options.hideBacks,
            u_spacing: cloud ? cloud.spacing : 1,
            u_distance: view.pose.distance,
            u_size: size * sparser,
            u_size_range: [(isWorld ? SMALLEST_POINT_PX : 1) * this.ratio, LARGEST_POINT_PX * this.ratio * (isWorld ? Math.max(1, options.worldSize) : 2)],
        };
    }

    /**
     * The index of the point that is seen at a place, or the nearest within a few pixels; -1 for none.
     *
     * @param {Scene} scene
     * @param {number} x in CSS pixels from the left
     * @param {number} y in CSS pixels from the top
     */
    pick(scene, x, y) {
        const { gl, canvas } = this;
        const reach = Math.round(PICK_PX * this.ratio);
        const side = 2 * reach + 1;
        const [column, row] = [Math.floor(x * this.ratio), canvas.height - 1 - Math.floor(y * this.ratio)];
        const target = new Target(gl, side, side, gl.R32UI, gl.RED_INTEGER, gl.UNSIGNED_INT);
        gl.bindFramebuffer(gl.FRAMEBUFFER, target.frame);
        gl.viewport(reach - column, reach - row, canvas.width, canvas.height);
        gl.clearBufferuiv(gl.COLOR, 0, [0, 0, 0, 0]);
        gl.clearBufferfv(gl.DEPTH, 0, [1]);
        gl.enable(gl.DEPTH_TEST);
        const matrices = scene.view.matrices(scene.layout.center, scene.layout.far);
        const count = this.points.count;
        this.points.draw(this.uniforms(scene, matrices, count), count, true);
        const ids = new Uint32Array(4 * side * side);
        gl.readPixels(0, 0, side, side, gl.RGBA_INTEGER, gl.UNSIGNED_INT, ids);
        gl.bindFramebuffer(gl.FRAMEBUFFER, null);
        target.delete();
        return nearestId(ids, reach) - 1;
    }

    /** Free the context at once: a page may only have about sixteen. */
    dispose() {
        this.gl.getExtension("WEBGL_lose_context")?.loseContext();
    }
}

/** The id nearest to the middle of a square of them, 0 for none. @param {Uint32Array} ids @param {number} reach */
function nearestId(ids, reach) {
    const side = 2 * reach + 1;
    let [best, id] = [reach * reach + 1, 0];
    for (let i = 0; i < side * side; i += 1) {
        const away = (i % side - reach) ** 2 + (Math.floor(i / side) - reach) ** 2;
        if (ids[4 * i] && away < best) [best, id] = [away, ids[4 * i]];
    }
    return id;
}
