/** The photos as pictures in the image planes of their cameras. */
import { Program, deleteVertices, vertexArray } from "./gl.mjs";

const LAYER_PX = 256;
const SMALL_LAYER_PX = 128; // from so many photos on, to save memory
const MANY = 128;

const VERTEX = `
layout(location = 0) in vec3 a_origin; // top left corner
layout(location = 1) in vec3 a_across;
layout(location = 2) in vec3 a_down;
layout(location = 3) in float a_layer;
uniform mat4 u_matrix;
out vec3 v_place;
void main() {
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
    gl_Position = u_matrix * vec4(a_origin + corner.x * a_across + corner.y * a_down, 1.0);
    v_place = vec3(corner, a_layer);
}`;

const FRAGMENT = `
uniform mediump sampler2DArray u_photos;
in vec3 v_place;
out vec4 color;
void main() {
    color = texture(u_photos, v_place);
    if (color.a < 0.5) discard; // not loaded yet
    color.a = 1.0;
}`;

export class PhotosPass {
    /** @param {import("./gl.mjs").GL} gl */
    constructor(gl) {
        this.gl = gl;
        this.program = new Program(gl, VERTEX, FRAGMENT);
        this.most = gl.getParameter(gl.MAX_ARRAY_TEXTURE_LAYERS);
        this.texture = null;
        this.vertices = null;
        this.count = 0;
        this.stale = false; // smaller levels do not yet show what was put in
    }

    /** Room for the photos of so many cameras; nothing is shown of a photo before it is put in. @param {number} cameras */
    prepare(cameras) {
        const { gl } = this;
        gl.deleteTexture(this.texture);
        this.layers = Math.min(cameras, this.most);
        this.size = cameras < MANY ? LAYER_PX : SMALL_LAYER_PX;
        this.texture = null;
        if (!this.layers) return;
        this.texture = gl.createTexture();
        gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.texture);
        gl.texStorage3D(gl.TEXTURE_2D_ARRAY, Math.log2(this.size) + 1, gl.RGBA8, this.size, this.size, this.layers);
        gl.texParameteri(gl.TEXTURE_2D_ARRAY, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
        for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) {
            gl.texParameteri(gl.TEXTURE_2D_ARRAY, side, gl.CLAMP_TO_EDGE);
        }
    }

    /** @param {number} layer @param {HTMLImageElement} photo */
    put(layer, photo) {
        const { gl } = this;
        if (layer >= this.layers) return;
        const scaled = new OffscreenCanvas(this.size, this.size);
        const pen = scaled.getContext("2d");
        pen.imageSmoothingQuality = "high";
        pen.drawImage(photo, 0, 0, this.size, this.size);
        gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.texture);
        const { size } = this;
        gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, layer, size, size, 1, gl.RGBA, gl.UNSIGNED_BYTE, scaled);
        this.stale = true;
    }

    /** Which photos are shown and where. @param {{layer: number, corners: import("../scene/matrices.mjs").Vector[]}[]} photos */
    setPhotos(photos) {
        deleteVertices(this.gl, this.vertices);
        const shown = photos.filter(({ layer }) => layer < this.layers);
        const side = (/** @type {number} */ to) =>
            shown.flatMap(({ corners }) => corners[to].map((value, axis) => value - corners[0][axis]));
        this.count = shown.length;
        this.vertices = this.count ? vertexArray(this.gl, [
            { location: 0, size: 3, data: new Float32Array(shown.flatMap(({ corners }) => corners[0])), each: 1 },
            { location: 1, size: 3, data: new Float32Array(side(1)), each: 1 },
            { location: 2, size: 3, data: new Float32Array(side(3)), each: 1 },
            { location: 3, size: 1, data: new Float32Array(shown.map(({ layer }) => layer)), each: 1 },
        ]) : null;
    }

    /** @param {Float32Array} matrix */
    draw(matrix) {
        const { gl } = this;
        if (!this.vertices || !this.texture) return;
        gl.activeTexture(gl.TEXTURE0);
        gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.texture);
        if (this.stale) gl.generateMipmap(gl.TEXTURE_2D_ARRAY);
        this.stale = false;
        this.program.use({ u_matrix: matrix, u_photos: { unit: 0 } });
        gl.bindVertexArray(this.vertices.array);
        gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.count);
        gl.bindVertexArray(null);
    }
}
