/**
 * Vectors, quaternions and 4 x 4 matrices as plain arrays. Axes are glTF's: x right, y up, z backward; an eye looks
 * along its own -z. Matrices are column by column, as WebGL takes them; quaternions are [x, y, z, w].
 *
 * @typedef {[number, number, number]} Vector
 * @typedef {[number, number, number, number]} Quaternion
 * @typedef {{left: number, right: number, bottom: number, top: number}} Tangents slopes of the edges of a view
 */

/** @type {(a: Vector, b: Vector) => Vector} */
export const add = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
/** @type {(a: Vector, b: Vector) => Vector} */
export const subtract = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
/** @type {(a: Vector, factor: number) => Vector} */
export const scale = (a, factor) => [a[0] * factor, a[1] * factor, a[2] * factor];
/** @type {(a: Vector, b: Vector) => number} */
export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
/** @type {(a: Vector, b: Vector) => Vector} */
export const cross = (a, b) => [
    a[1] * b[2] - a[2] * b[1],
    a[2] * b[0] - a[0] * b[2],
    a[0] * b[1] - a[1] * b[0],
];
/** @type {(a: Vector) => number} */
export const length = (a) => Math.hypot(a[0], a[1], a[2]);
/** @type {(a: Vector, b: Vector) => number} */
export const distance = (a, b) => length(subtract(a, b));
/** @type {(a: Vector, b: Vector, share: number) => Vector} */
export const mix = (a, b, share) => add(scale(a, 1 - share), scale(b, share));

/** A unit vector; a vector of no length becomes x. @type {(a: Vector) => Vector} */
export function normalize(a) {
    const size = length(a);
    return size > 1e-30 ? scale(a, 1 / size) : [1, 0, 0];
}

/** Some unit vector at right angles. @type {(a: Vector) => Vector} */
export function anyAcross(a) {
    const size = a.map(Math.abs);
    const least = size.indexOf(Math.min(...size));
    return normalize(cross(a, /** @type {Vector} */ ([0, 1, 2].map((axis) => (axis === least ? 1 : 0)))));
}

/** Turn by an angle in radians about a unit axis. @type {(axis: Vector, angle: number) => Quaternion} */
export function turn(axis, angle) {
    const s = Math.sin(angle / 2);
    return [axis[0] * s, axis[1] * s, axis[2] * s, Math.cos(angle / 2)];
}

/** First b, then a. @type {(a: Quaternion, b: Quaternion) => Quaternion} */
export function compose(a, b) {
    return [
        a[3] * b[0] + a[0] * b[3] + a[1] * b[2] - a[2] * b[1],
        a[3] * b[1] - a[0] * b[2] + a[1] * b[3] + a[2] * b[0],
        a[3] * b[2] + a[0] * b[1] - a[1] * b[0] + a[2] * b[3],
        a[3] * b[3] - a[0] * b[0] - a[1] * b[1] - a[2] * b[2],
    ];
}

/** @type {(q: Quaternion, v: Vector) => Vector} */
export function rotate(q, v) {
    const axis = /** @type {Vector} */ ([q[0], q[1], q[2]]);
    const t = scale(cross(axis, v), 2);
    return add(add(v, scale(t, q[3])), cross(axis, t));
}

/** The rotation whose columns are three orthonormal axes. @type {(x: Vector, y: Vector, z: Vector) => Quaternion} */
export function fromAxes(x, y, z) {
    const trace = x[0] + y[1] + z[2];
    /** @type {Quaternion} */
    let q;
    if (trace > 0) {
        q = [y[2] - z[1], z[0] - x[2], x[1] - y[0], 1 + trace];
    } else if (x[0] > y[1] && x[0] > z[2]) {
        q = [1 + x[0] - y[1] - z[2], y[0] + x[1], z[0] + x[2], y[2] - z[1]];
    } else if (y[1] > z[2]) {
        q = [y[0] + x[1], 1 + y[1] - x[0] - z[2], z[1] + y[2], z[0] - x[2]];
    } else {
        q = [z[0] + x[2], z[1] + y[2], 1 + z[2] - x[0] - y[1], x[1] - y[0]];
    }
    return normalizeQuaternion(q);
}

/** @type {(q: Quaternion) => Quaternion} */
export function normalizeQuaternion(q) {
    const size = Math.hypot(...q);
    return /** @type {Quaternion} */ (q.map((value) => value / size));
}

/** Between two rotations along the shorter way. @type {(a: Quaternion, b: Quaternion, share: number) => Quaternion} */
export function slerp(a, b, share) {
    let cosine = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
    const sign = cosine < 0 ? -1 : 1;
    cosine = Math.min(1, cosine * sign);
    const angle = Math.acos(cosine);
    let [from, to] = [1 - share, share];
    if (angle > 1e-4) {
        [from, to] = [Math.sin((1 - share) * angle) / Math.sin(angle), Math.sin(share * angle) / Math.sin(angle)];
    }
    return normalizeQuaternion(/** @type {Quaternion} */ (a.map((value, i) => from * value + to * sign * b[i])));
}

/** Rotation of an upright eye that looks along `forward`. @type {(forward: Vector, up: Vector) => Quaternion} */
export function lookAlong(forward, up) {
    const back = scale(normalize(forward), -1);
    const side = cross(up, back);
    const right = length(side) > 1e-6 ? normalize(side) : anyAcross(back);
    return fromAxes(right, cross(back, right), back);
}

/** Matrix from the world into an eye's frame. @type {(eye: Vector, rotation: Quaternion) => Float32Array} */
export function worldToEye(eye, rotation) {
    const axes = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map((axis) => rotate(rotation, /** @type {Vector} */ (axis)));
    const m = new Float32Array(16);
    for (let row = 0; row < 3; row += 1) {
        for (let column = 0; column < 3; column += 1) m[4 * column + row] = axes[row][column];
        m[12 + row] = -dot(axes[row], eye);
    }
    m[15] = 1;
    return m;
}

/** Perspective through four slopes. @type {(t: Tangents, near: number, far: number) => Float32Array} */
export function perspective(t, near, far) {
    const [width, height] = [t.right - t.left, t.top - t.bottom];
    const m = new Float32Array(16);
    m[0] = 2 / width;
    m[5] = 2 / height;
    m[8] = (t.right + t.left) / width;
    m[9] = (t.top + t.bottom) / height;
    m[10] = -(far + near) / (far - near);
    m[11] = -1;
    m[14] = (-2 * far * near) / (far - near);
    return m;
}

/** The parallel view that shows at distance 1 what `t` shows. @type {(t: Tangents, near: number, far: number) => Float32Array} */
export function parallel(t, near, far) {
    const m = new Float32Array(16);
    m[0] = 2 / (t.right - t.left);
    m[5] = 2 / (t.top - t.bottom);
    m[10] = -2 / (far - near);
    m[12] = -(t.right + t.left) / (t.right - t.left);
    m[13] = -(t.top + t.bottom) / (t.top - t.bottom);
    m[14] = -(far + near) / (far - near);
    m[15] = 1;
    return m;
}

/** @type {(a: ArrayLike<number>, b: ArrayLike<number>) => Float32Array} */
export function multiply(a, b) {
    const m = new Float32Array(16);
    for (let column = 0; column < 4; column += 1) {
        for (let row = 0; row < 4; row += 1) {
            let sum = 0;
            for (let k = 0; k < 4; k += 1) sum += a[4 * k + row] * b[4 * column + k];
            m[4 * column + row] = sum;
        }
    }
    return m;
}

/** Homogeneous clip coordinates of a point. @type {(m: ArrayLike<number>, p: Vector) => number[]} */
export function toClip(m, p) {
    return [0, 1, 2, 3].map((row) => m[row] * p[0] + m[4 + row] * p[1] + m[8 + row] * p[2] + m[12 + row]);
}
