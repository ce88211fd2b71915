/** Lines of any width in pixels: frusta, trajectory, grid, axes. What is behind the cloud shines through a little. */
import { Program, deleteVertices, vertexArray } from "./gl.mjs";

/**
 * @typedef {import("../scene/matrices.mjs").Vector} Vector
 * @typedef {{from: Vector, to: Vector, color: number[], width: number, hidden?: number}} Line
 *   color: red, green, blue, alpha 0..255; width in CSS pixels; hidden: share of alpha behind the cloud
 */

const VERTEX = `
layout(location = 0) in vec3 a_from;
layout(location = 1) in vec3 a_to;
layout(location = 2) in vec4 a_color;
layout(location = 3) in vec2 a_style; // width in pixels, alpha where hidden
uniform mat4 u_matrix;
uniform vec2 u_viewport;
uniform float u_ratio;
uniform bool u_hidden;
out vec4 v_color;

void main() {
    vec4 from = u_matrix * vec4(a_from, 1.0), to = u_matrix * vec4(a_to, 1.0);
    float a = from.z + from.w, b = to.z + to.w; // distances behind the near plane
    if (a < 0.0 && b < 0.0) { gl_Position = vec4(0.0, 0.0, 2.0, 1.0); return; }
    vec4 first = from;
    if (a < 0.0) from = mix(from, to, a / (a - b));
    if (b < 0.0) to = mix(to, first, b / (b - a));
    vec2 along = (to.xy / to.w - from.xy / from.w) * u_viewport;
    along = length(along) > 1e-6 ? normalize(along) : vec2(1.0, 0.0);
    vec2 across = vec2(-along.y, along.x) * (gl_VertexID % 2 == 0 ? 1.0 : -1.0);
    bool at_end = gl_VertexID > 1;
    vec4 place = at_end ? to : from;
    vec2 aside = (across + (at_end ? along : -along) * 0.5) * a_style.x * u_ratio / u_viewport;
    gl_Position = vec4(place.xy + aside * place.w, place.zw);
    v_color = vec4(a_color.rgb, a_color.a * (u_hidden ? a_style.y : 1.0));
}`;

const FRAGMENT = `
in vec4 v_color;
out vec4 color;
void main() { color = v_color; }`;

export class LinesPass {
    /** @param {import("./gl.mjs").GL} gl */
    constructor(gl) {
        this.gl = gl;
        this.program = new Program(gl, VERTEX, FRAGMENT);
        this.vertices = null;
        this.count = 0;
    }

    /** @param {Line[]} lines */
    setLines(lines) {
        deleteVertices(this.gl, this.vertices);
        this.count = lines.length;
        this.vertices = this.count ? vertexArray(this.gl, [
            { location: 0, size: 3, data: new Float32Array(lines.flatMap((line) => line.from)), each: 1 },
            { location: 1, size: 3, data: new Float32Array(lines.flatMap((line) => line.to)), each: 1 },
            { location: 2, size: 4, data: new Uint8Array(lines.flatMap((line) => line.color)), kind: "bytes", each: 1 },
            { location: 3, size: 2, data: new Float32Array(lines.flatMap((line) => [line.width, line.hidden ?? 0.25])), each: 1 },
        ]) : null;
    }

    /** @param {Float32Array} matrix @param {[number, number]} viewport @param {number} ratio device pixels a CSS pixel */
    draw(matrix, viewport, ratio) {
        const { gl } = this;
        if (!this.vertices) return;
        gl.bindVertexArray(this.vertices.array);
        gl.enable(gl.BLEND);
        gl.depthMask(false);
        for (const hidden of [true, false]) {
            gl.depthFunc(hidden ? gl.GREATER : gl.LEQUAL);
            this.program.use({ u_matrix: matrix, u_viewport: viewport, u_ratio: ratio, u_hidden: hidden });
            gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.count);
        }
        gl.depthFunc(gl.LEQUAL);
        gl.depthMask(true);
        gl.disable(gl.BLEND);
        gl.bindVertexArray(null);
    }
}
