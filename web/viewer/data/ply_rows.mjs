/** Rows of a PLY body, binary or text, into the typed arrays of a reader. */
import { parseNumber } from "./numbers.mjs";

/** @typedef {import("./ply.mjs").PlyReader} PlyReader @typedef {import("./ply.mjs").Property} Property */

/** The frame number of points that no frame claims. */
export const NO_FRAME = 65535;

/** @type {Record<string, (view: DataView, at: number, little: boolean) => number>} */
const READ = {
    int8: (view, at) => view.getInt8(at),
    uint8: (view, at) => view.getUint8(at),
    int16: (view, at, little) => view.getInt16(at, little),
    uint16: (view, at, little) => view.getUint16(at, little),
    int32: (view, at, little) => view.getInt32(at, little),
    uint32: (view, at, little) => view.getUint32(at, little),
    float32: (view, at, little) => view.getFloat32(at, little),
    float64: (view, at, little) => view.getFloat64(at, little),
};

/**
 * Reads as many whole rows as `bytes` holds; rows whose place is not a number are left out.
 *
 * @param {PlyReader} reader
 * @param {Uint8Array} bytes
 * @returns {{used: number, rows: number, dropped: number}}
 */
export function readRows(reader, bytes) {
    return reader.header.format === "ascii" ? readText(reader, bytes) : readBinary(reader, bytes);
}

/** @param {PlyReader} reader @param {Uint8Array} bytes */
function readBinary(reader, bytes) {
    const { stride, count, format } = reader.header;
    const rows = Math.min(count - reader.done, stride ? Math.floor(bytes.length / stride) : 0);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const little = format === "binary_little_endian";
    const sink = new Sink(reader, rows);
    const columns = sink.columns.map(({ type, offset }) => ({ read: READ[type], offset }));
    const values = new Float64Array(columns.length);
    for (let row = 0; row < rows; row += 1) {
        const base = row * stride;
        for (let i = 0; i < columns.length; i += 1) {
            values[i] = columns[i].read(view, base + columns[i].offset, little);
        }
        sink.put(values);
    }
    return { used: rows * stride, rows, dropped: sink.dropped };
}

/** @param {PlyReader} reader @param {Uint8Array} bytes */
function readText(reader, bytes) {
    const { count, properties } = reader.header;
    const sink = new Sink(reader, Math.min(count - reader.done, Math.ceil(bytes.length / 6)));
    const order = sink.columns.map(({ column }) => column);
    const values = new Float64Array(order.length);
    const fields = new Float64Array(properties.length);
    let [used, rows] = [0, 0];
    while (reader.done + rows < count) {
        const end = bytes.indexOf(10, used);
        if (end < 0) break;
        const found = readFields(bytes, used, end, fields);
        used = end + 1;
        if (!found) continue; // an empty line
        if (found < properties.length) fields.fill(NaN, found);
        for (let i = 0; i < order.length; i += 1) values[i] = fields[order[i]];
        sink.put(values);
        rows += 1;
    }
    return { used, rows, dropped: sink.dropped };
}

/** Numbers of one line; how many there were. @param {Uint8Array} bytes @param {number} from @param {number} end @param {Float64Array} fields */
function readFields(bytes, from, end, fields) {
    let found = 0;
    let at = from;
    while (at < end && found < fields.length) {
        while (at < end && bytes[at] <= 32) at += 1;
        let stop = at;
        while (stop < end && bytes[stop] > 32) stop += 1;
        if (stop > at) {
            fields[found] = parseNumber(bytes, at, stop);
            found += 1;
        }
        at = stop;
    }
    return found;
}

/** Puts the values of a row where they belong. */
class Sink {
    /** @param {PlyReader} reader @param {number} rows how many may come */
    constructor(reader, rows) {
        const { roles, hasColors, hasGray, hasNormals } = reader;
        this.rows = reader.rows;
        this.at = reader.done - reader.dropped;
        this.dropped = 0;
        for (const part of Object.values(this.rows)) part.reserve(this.at + rows, reader.header.count);
        const colors = hasColors ? [roles.red, roles.green, roles.blue] : hasGray ? [roles.gray, roles.gray, roles.gray] : [];
        /** @type {Property[]} */
        this.columns = [roles.x, roles.y, roles.z, ...colors];
        this.colors = colors.length > 0;
        this.normal = hasNormals ? this.columns.push(roles.nx, roles.ny, roles.nz) - 3 : -1;
        this.confidence = roles.confidence ? this.columns.push(roles.confidence) - 1 : -1;
        this.frame = roles.frame ? this.columns.push(roles.frame) - 1 : -1;
    }

    /** @param {Float64Array} values of `columns` */
    put(values) {
        if (!Number.isFinite(values[0] + values[1] + values[2])) {
            this.dropped += 1;
            return;
        }
        const { at, rows } = this;
        const place = rows.positions.data;
        place[3 * at] = values[0];
        place[3 * at + 1] = values[1];
        place[3 * at + 2] = values[2];
        if (this.colors) {
            const color = rows.colors.data;
            color[3 * at] = values[3];
            color[3 * at + 1] = values[4];
            color[3 * at + 2] = values[5];
        }
        if (this.normal >= 0) {
            for (let axis = 0; axis < 3; axis += 1) {
                rows.normals.data[4 * at + axis] = Math.round(127 * Math.max(-1, Math.min(1, values[this.normal + axis])));
            }
        }
        if (this.confidence >= 0) {
            const value = values[this.confidence];
            rows.confidence.data[at] = Number.isFinite(value) ? value : 0;
        }
        if (this.frame >= 0) {
            const value = values[this.frame];
            rows.frame.data[at] = value >= 0 && value < NO_FRAME ? value : NO_FRAME;
        }
        this.at = at + 1;
    }
}
