/**
 * Reads PLY point clouds as they arrive, in pieces of any size: ascii, binary little and big endian, with or without
 * colours, confidence and frame numbers under the names that other programs use. Faces and other elements behind the
 * vertices are ignored.
 *
 * @typedef {{name: string, type: string, offset: number, column: number}} Property
 * @typedef {{format: string, count: number, stride: number, properties: Property[], size: number}} Header
 * @typedef {{
 *   count: number, announced: number, dropped: number, positions: Float32Array, colors: Uint8Array,
 *   hasColors: boolean, normals: Int8Array | null, confidence: Float32Array | null, frames: Uint16Array | null,
 * }} Points `colors` has four bytes a point, the last one free, and so have `normals`, -127 to 127
 */
import { Growing } from "./growing.mjs";
import { LONGEST_HEADER, parseHeader } from "./ply_header.mjs";
import { readRows } from "./ply_rows.mjs";
import { Problem } from "./problem.mjs";

const FIRST_ROWS = 1 << 18;
const SH_BAND_0 = 0.28209479177387814;

const ROLES = {
    x: ["x"],
    y: ["y"],
    z: ["z"],
    nx: ["nx", "normal_x"],
    ny: ["ny", "normal_y"],
    nz: ["nz", "normal_z"],
    red: ["red", "r", "diffuse_red", "f_dc_0"],
    green: ["green", "g", "diffuse_green", "f_dc_1"],
    blue: ["blue", "b", "diffuse_blue", "f_dc_2"],
    gray: ["intensity", "gray", "grey", "luminance", "reflectance"],
    confidence: ["confidence", "conf", "quality", "score"],
    frame: ["view_id", "view", "frame", "frame_id", "frame_index", "camera_id", "image_id"],
};

export class PlyReader {
    constructor() {
        /** @type {Uint8Array} what came and is not yet read */
        this.start = new Uint8Array(0);
        /** @type {Header | null} */
        this.header = null;
        this.done = 0;
        this.dropped = 0;
    }

    /** Points announced by the header, 0 before it is known. */
    get announced() {
        return this.header ? this.header.count : 0;
    }

    /** Take the next bytes of the file. @param {Uint8Array} bytes */
    push(bytes) {
        if (this.header && this.done >= this.header.count) return;
        const all = joined(this.start, bytes);
        if (!this.header) {
            this.header = parseHeader(all, all.length > LONGEST_HEADER);
            this.start = all;
            if (!this.header) return;
            this.prepare(this.header);
            this.start = this.take(all.subarray(this.header.size));
            return;
        }
        this.start = this.take(all);
    }

    /** The end of the file. @returns {Points} */
    finish() {
        if (!this.header) {
            this.header = parseHeader(this.start, true);
            if (this.header) this.prepare(this.header);
        }
        const header = /** @type {Header} */ (this.header);
        if (header.format === "ascii" && this.start.length) this.take(joined(this.start, new Uint8Array([10])));
        const kept = this.done - this.dropped;
        const frames = this.roles.frame ? new Uint16Array(this.rows.frame.cut(kept)) : null;
        return {
            count: kept,
            announced: header.count,
            dropped: this.dropped + (header.count - this.done),
            positions: this.rows.positions.cut(3 * kept),
            colors: this.colorBytes(kept),
            hasColors: this.hasColors,
            normals: this.hasNormals ? this.rows.normals.cut(4 * kept) : null,
            confidence: this.roles.confidence ? this.rows.confidence.cut(kept) : null,
            frames,
        };
    }

    /** @param {Header} header */
    prepare(header) {
        const find = (/** @type {string[]} */ names) =>
            names.map((name) => header.properties.find((property) => plainName(property.name) === name)).find(Boolean);
        /** @type {Record<string, Property | undefined>} */
        this.roles = Object.fromEntries(Object.entries(ROLES).map(([role, names]) => [role, find(names)]));
        for (const axis of ["x", "y", "z"]) {
            if (!this.roles[axis]) throw new Problem("ply.coordinate", { axis });
        }
        this.hasColors = Boolean(this.roles.red && this.roles.green && this.roles.blue);
        this.hasNormals = Boolean(this.roles.nx && this.roles.ny && this.roles.nz);
        this.hasGray = !this.hasColors && Boolean(this.roles.gray);
        const first = Math.min(header.count, FIRST_ROWS);
        const isByte = this.hasColors && this.roles.red.type === "uint8";
        this.rows = {
            positions: new Growing(Float32Array, 3, first),
            colors: new Growing(isByte ? Uint8Array : Float32Array, 3, this.hasColors || this.hasGray ? first : 0),
            normals: new Growing(Int8Array, 4, this.hasNormals ? first : 0),
            confidence: new Growing(Float32Array, 1, this.roles.confidence ? first : 0),
            frame: new Growing(Uint16Array, 1, this.roles.frame ? first : 0),
        };
    }

    /** Rows of `bytes`; what is left of the last, unfinished one is returned. @param {Uint8Array} bytes */
    take(bytes) {
        const { used, rows, dropped } = readRows(this, bytes);
        this.done += rows;
        this.dropped += dropped;
        return bytes.slice(used);
    }

    /** Colours of `count` points as four bytes each; light grey where the file has none. @param {number} count */
    colorBytes(count) {
        const bytes = new Uint8Array(4 * count).fill(200);
        if (!this.hasColors && !this.hasGray) return bytes;
        const given = this.rows.colors.cut(3 * count);
        const [factor, offset] = this.colorScale(given);
        for (let i = 0, from = 0; i < count; i += 1) {
            for (let channel = 0; channel < 3; channel += 1, from += 1) {
                bytes[4 * i + channel] = Math.min(255, Math.max(0, Math.round(given[from] * factor + offset)));
            }
        }
        return bytes;
    }

    /** Factor and offset from the file's numbers to 0..255. @param {ArrayLike<number>} given @returns {[number, number]} */
    colorScale(given) {
        const { red } = this.roles;
        if (this.hasGray) {
            const [low, high] = extent(given);
            return high > low ? [255 / (high - low), (-255 * low) / (high - low)] : [0, 200];
        }
        if (plainName(red.name) === "f_dc_0") return [255 * SH_BAND_0, 127.5];
        if (red.type === "uint8") return [1, 0];
        if (red.type === "uint16") return [1 / 257, 0];
        return extent(given)[1] > 1 ? [1, 0] : [255, 0];
    }
}

/** The name without what CloudCompare puts before scalar fields. @param {string} name */
function plainName(name) {
    return name.toLowerCase().replace(/^scalar_/, "");
}

/** @param {ArrayLike<number>} values @returns {[number, number]} */
function extent(values) {
    let [low, high] = [Infinity, -Infinity];
    for (let i = 0; i < values.length; i += 1) {
        if (values[i] < low) low = values[i];
        if (values[i] > high) high = values[i];
    }
    return [low, high];
}

/** @param {Uint8Array} first @param {Uint8Array} second */
function joined(first, second) {
    if (!first.length) return second;
    const all = new Uint8Array(first.length + second.length);
    all.set(first);
    all.set(second, first.length);
    return all;
}
