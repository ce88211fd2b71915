/** Small pieces of WebGL2: programs with their uniforms, buffers, textures. */

/** @typedef {WebGL2RenderingContext} GL */

/** A program with its uniforms' places. */
export class Program {
    /** @param {GL} gl @param {string} vertex @param {string} fragment */
    constructor(gl, vertex, fragment) {
        this.gl = gl;
        this.program = gl.createProgram();
        for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
            const shader = gl.createShader(/** @type {number} */ (kind));
            gl.shaderSource(shader, `#version 300 es\nprecision highp float;\nprecision highp int;\n${source}`);
            gl.compileShader(shader);
            if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
                throw new Error(gl.getShaderInfoLog(shader));
            }
            gl.attachShader(this.program, shader);
        }
        gl.linkProgram(this.program);
        if (!gl.getProgramParameter(this.program, gl.LINK_STATUS) && !gl.isContextLost()) {
            throw new Error(gl.getProgramInfoLog(this.program));
        }
        /** @type {Map<string, WebGLUniformLocation | null>} */
        this.places = new Map();
    }

    /**
     * Use the program with these uniforms: numbers become floats, booleans ints, lists vectors or matrices by their
     * length, {unit} a texture unit, {int} an int.
     *
     * @param {Record<string, any>} uniforms
     */
    use(uniforms) {
        this.gl.useProgram(this.program);
        for (const [name, value] of Object.entries(uniforms)) this.set(name, value);
    }

    /** @param {string} name @param {any} value */
    set(name, value) {
        const { gl } = this;
        if (!this.places.has(name)) this.places.set(name, gl.getUniformLocation(this.program, name));
        const place = this.places.get(name);
        if (typeof value === "number") gl.uniform1f(place, value);
        else if (typeof value === "boolean") gl.uniform1i(place, value ? 1 : 0);
        else if ("unit" in value) gl.uniform1i(place, value.unit);
        else if ("int" in value) gl.uniform1i(place, value.int);
        else if (value.length === 16) gl.uniformMatrix4fv(place, false, value);
        else if (value.length === 9) gl.uniformMatrix3fv(place, false, value);
        else gl[`uniform${value.length}fv`](place, value);
    }
}

/**
 * A vertex array of buffers. Each attribute: location, numbers a vertex, data; kind "float" (default), "bytes" or
 * "signed" (bytes, normalised) or "whole" (unsigned short, stays an integer).
 *
 * @param {GL} gl
 * @param {{location: number, size: number, data: ArrayBufferView | null, kind?: string, each?: number}[]} attributes
 */
export function vertexArray(gl, attributes) {
    const array = gl.createVertexArray();
    const buffers = [];
    gl.bindVertexArray(array);
    for (const { location, size, data, kind = "float", each = 0 } of attributes) {
        if (!data) continue;
        const buffer = gl.createBuffer();
        gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
        gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
        gl.enableVertexAttribArray(location);
        if (kind === "whole") gl.vertexAttribIPointer(location, size, gl.UNSIGNED_SHORT, 0, 0);
        else if (kind === "signed") gl.vertexAttribPointer(location, size, gl.BYTE, true, 0, 0);
        else if (kind === "bytes") gl.vertexAttribPointer(location, size, gl.UNSIGNED_BYTE, true, 0, 0);
        else gl.vertexAttribPointer(location, size, gl.FLOAT, false, 0, 0);
        gl.vertexAttribDivisor(location, each);
        buffers.push(buffer);
    }
    gl.bindVertexArray(null);
    return { array, buffers };
}

/** @param {GL} gl @param {{array: WebGLVertexArrayObject, buffers: WebGLBuffer[]} | null} vertices */
export function deleteVertices(gl, vertices) {
    if (!vertices) return;
    gl.deleteVertexArray(vertices.array);
    for (const buffer of vertices.buffers) gl.deleteBuffer(buffer);
}

/**
 * A texture without smoothing.
 *
 * @param {GL} gl
 * @param {{inner: number, format: number, type: number, width: number, height: number, data?: ArrayBufferView | null}} about
 */
export function plainTexture(gl, { inner, format, type, width, height, data = null }) {
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, inner, width, height, 0, format, type, data);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    for (const size of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, size, gl.NEAREST);
    return texture;
}

/** A canvas of its own to draw on: colour and depth, both readable as textures. */
export class Target {
    /** @param {GL} gl @param {number} width @param {number} height @param {number} inner format of the colour @param {number} format @param {number} type */
    constructor(gl, width, height, inner, format, type) {
        this.gl = gl;
        this.width = width;
        this.height = height;
        this.color = plainTexture(gl, { inner, format, type, width, height });
        const depth = { inner: gl.DEPTH_COMPONENT24, format: gl.DEPTH_COMPONENT, type: gl.UNSIGNED_INT };
        this.depth = plainTexture(gl, { ...depth, width, height });
        this.frame = gl.createFramebuffer();
        gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
        gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.color, 0);
        gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.TEXTURE_2D, this.depth, 0);
        gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    }

    delete() {
        this.gl.deleteFramebuffer(this.frame);
        this.gl.deleteTexture(this.color);
        this.gl.deleteTexture(this.depth);
    }
}
