/** Draws the points, coloured and filtered, or their numbers for picking. */
import { NO_FRAME } from "../data/ply_rows.mjs";
import { CONFIDENCE, DEPTH, HEIGHT, ramp } from "../scene/color_maps.mjs";
import { TABLE } from "./frame_table.mjs";
import { Program, deleteVertices, plainTexture, vertexArray } from "./gl.mjs";

/** @typedef {import("./gl.mjs").GL} GL */

export const COLOR_MODES = ["rgb", "confidence", "frame", "depth", "height"];
const RAMPS = [DEPTH, CONFIDENCE, DEPTH, DEPTH, HEIGHT];

const VERTEX = `
layout(location = 0) in vec3 a_position;
layout(location = 1) in vec4 a_color; // red, green, blue, rank of the confidence
layout(location = 2) in float a_confidence;
layout(location = 3) in uint a_frame;
layout(location = 4) in vec3 a_normal;
uniform mat4 u_view, u_projection;
uniform highp sampler2D u_frames, u_ramp;
uniform vec3 u_eye, u_up, u_box_low, u_box_high;
uniform mat3 u_box_axes;
uniform vec2 u_range, u_size_range; // of the colour; of the size in pixels
uniform float u_least, u_size, u_spacing, u_distance;
uniform int u_mode;
uniform bool u_world, u_parallel, u_hide_backs;
out vec3 v_color;
flat out float v_size;
flat out uint v_id;

const uint NO_FRAME = ${NO_FRAME}u;
const vec3 GRAY = vec3(0.55);

vec4 frame_texel(int texel) {
    int frame = int(a_frame);
    return texelFetch(u_frames, ivec2((frame % ${TABLE.frames}) * ${TABLE.texels} + texel, frame / ${TABLE.frames}), 0);
}

vec3 from_ramp(float share) {
    return texelFetch(u_ramp, ivec2(int(round(clamp(share, 0.0, 1.0) * 255.0)), 0), 0).rgb;
}

void main() {
    v_id = uint(gl_VertexID) + 1u;
    // position of the camera and 0 hidden, 1 shown, 2 shown and with a camera; its axis and the slope of a pixel
    vec4 source = vec4(0.0, 0.0, 0.0, 1.0), axis = vec4(0.0), hue = vec4(GRAY, 1.0);
    if (a_frame != NO_FRAME) {
        source = frame_texel(0);
        axis = frame_texel(1);
        hue = frame_texel(2);
    }
    bool has_camera = source.w > 1.5;
    vec3 place = u_box_axes * a_position;
    bool hidden = source.w < 0.5 || a_confidence < u_least
        || any(lessThan(place, u_box_low)) || any(greaterThan(place, u_box_high));
    if (u_hide_backs) {
        vec3 to_eye = u_parallel ? u_eye : u_eye - a_position;
        hidden = hidden || dot(to_eye, a_normal) < -0.15 * length(to_eye);
    }
    if (hidden) {
        gl_Position = vec4(0.0, 0.0, 2.0, 1.0);
        gl_PointSize = 1.0;
        return;
    }
    vec4 in_eye = u_view * vec4(a_position, 1.0);
    gl_Position = u_projection * in_eye;
    v_size = u_size;
    if (u_world) {
        float patch_size = has_camera ? max(u_spacing, 1.2 * axis.w * distance(source.xyz, a_position)) : u_spacing;
        v_size = u_size * patch_size / (u_parallel ? u_distance : max(-in_eye.z, 1e-9));
    }
    v_size = clamp(v_size, u_size_range.x, u_size_range.y);
    gl_PointSize = v_size;
    v_color = a_color.rgb;
    if (u_mode == 1) v_color = from_ramp(a_color.a);
    if (u_mode == 2) v_color = hue.rgb;
    if (u_mode == 3) v_color = has_camera
        ? from_ramp((log(max(dot(a_position - source.xyz, axis.xyz), 1e-9)) - u_range.x) / (u_range.y - u_range.x)) : GRAY;
    if (u_mode == 4) v_color = from_ramp((dot(a_position, u_up) - u_range.x) / (u_range.y - u_range.x));
}`;

const ROUND = `
flat in float v_size;
void cut_round() {
    vec2 place = 2.0 * gl_PointCoord - 1.0;
    if (v_size > 2.5 && dot(place, place) > 1.0) discard;
}`;

const COLOR = `${ROUND}
in vec3 v_color;
out vec4 color;
void main() { cut_round(); color = vec4(v_color, 1.0); }`;

const NUMBER = `${ROUND}
flat in uint v_id;
out uvec4 id;
void main() { cut_round(); id = uvec4(v_id, 0u, 0u, 0u); }`;

export class PointsPass {
    /** @param {GL} gl */
    constructor(gl) {
        this.gl = gl;
        this.drawing = new Program(gl, VERTEX, COLOR);
        this.numbering = new Program(gl, VERTEX, NUMBER);
        const bytes = { inner: gl.RGBA8, format: gl.RGBA, type: gl.UNSIGNED_BYTE, width: 256, height: 1 };
        this.ramps = RAMPS.map((stops) => plainTexture(gl, { ...bytes, data: ramp(stops) }));
        this.vertices = null;
        this.table = null;
        this.count = 0;
    }

    /** @param {import("../data/cloud.mjs").Cloud | null} cloud */
    setCloud(cloud) {
        deleteVertices(this.gl, this.vertices);
        this.vertices = null;
        this.count = cloud ? cloud.count : 0;
        if (!cloud) return;
        this.vertices = vertexArray(this.gl, [
            { location: 0, size: 3, data: cloud.positions },
            { location: 1, size: 4, data: cloud.colors, kind: "bytes" },
            { location: 2, size: 1, data: cloud.confidence },
            { location: 3, size: 1, data: cloud.frames, kind: "whole" },
            { location: 4, size: 4, data: cloud.normals, kind: "signed" },
        ]);
    }

    /** What the shader knows of each frame. @param {{data: Float32Array, rows: number}} table */
    setTable({ data, rows }) {
        const { gl } = this;
        gl.deleteTexture(this.table);
        const about = { inner: gl.RGBA32F, format: gl.RGBA, type: gl.FLOAT };
        this.table = plainTexture(gl, { ...about, width: TABLE.frames * TABLE.texels, height: rows, data });
    }

    /** @param {Record<string, any>} uniforms @param {number} count the first so many points @param {boolean} numbers */
    draw(uniforms, count, numbers = false) {
        const { gl } = this;
        if (!this.vertices) return;
        gl.activeTexture(gl.TEXTURE0);
        gl.bindTexture(gl.TEXTURE_2D, this.table);
        gl.activeTexture(gl.TEXTURE1);
        gl.bindTexture(gl.TEXTURE_2D, this.ramps[uniforms.u_mode.int]);
        (numbers ? this.numbering : this.drawing).use({ ...uniforms, u_frames: { unit: 0 }, u_ramp: { unit: 1 } });
        gl.bindVertexArray(this.vertices.array);
        gl.vertexAttrib1f(2, 3e38); // where the cloud has no such array
        gl.vertexAttribI4ui(3, NO_FRAME, 0, 0, 0);
        gl.vertexAttrib3f(4, 0, 0, 0);
        gl.drawArrays(gl.POINTS, 0, Math.min(count, this.count));
        gl.bindVertexArray(null);
    }
}
