/** The header of a PLY file, and plain words for files that are something else. */
import { Problem } from "./problem.mjs";

/** @typedef {import("./ply.mjs").Header} Header @typedef {import("./ply.mjs").Property} Property */

const TYPES = {
    char: "int8", uchar: "uint8", short: "int16", ushort: "uint16", int: "int32", uint: "uint32",
    float: "float32", double: "float64",
};
export const BYTES = {
    int8: 1, uint8: 1, int16: 2, uint16: 2, int32: 4, uint32: 4, float32: 4, float64: 8,
};
const FORMATS = ["ascii", "binary_little_endian", "binary_big_endian"];
export const LONGEST_HEADER = 1 << 16;
const TELLING = 64; // bytes by which a foreign file is known
const MOST_POINTS = 500_000_000;

/**
 * The header at the start of `bytes`, or null while its end has not come. Throws a Problem for what is no point cloud.
 *
 * @param {Uint8Array} bytes
 * @param {boolean} isAll no more bytes will help
 * @returns {Header | null}
 */
export function parseHeader(bytes, isAll) {
    if (!/^ply\r?\n/.test(text(bytes, 0, 5))) {
        if (bytes.length < TELLING && !isAll) return null;
        throw foreign(bytes);
    }
    const end = endOfHeader(bytes);
    if (end < 0) {
        if (isAll) throw new Problem("ply.end");
        return null;
    }
    const lines = text(bytes, 0, end).split(/\r?\n/).map((line) => line.trim().split(/\s+/));
    const format = (lines.find((words) => words[0] === "format") || [])[1];
    if (!FORMATS.includes(format)) throw new Problem("ply.format", { format: format || "-" });
    return { format, size: end, ...vertexElement(lines) };
}

/** Where the bytes behind end_header begin, or -1. @param {Uint8Array} bytes */
function endOfHeader(bytes) {
    const found = /\nend_header[ \t]*\r?\n/.exec(text(bytes, 0, LONGEST_HEADER));
    return found ? found.index + found[0].length : -1;
}

/** @param {string[][]} lines @returns {{count: number, stride: number, properties: Property[]}} */
function vertexElement(lines) {
    const elements = lines.filter((words) => words[0] === "element");
    const at = lines.findIndex((words) => words[0] === "element" && words[1] === "vertex");
    if (at < 0) throw new Problem("ply.vertices");
    if (elements[0] !== lines[at]) throw new Problem("ply.first", { name: elements[0][1] });
    const count = Number(lines[at][2]);
    if (!Number.isInteger(count) || count < 0 || count > MOST_POINTS) {
        throw new Problem("ply.count", { count: lines[at][2] || "-" });
    }
    /** @type {Property[]} */
    const properties = [];
    let stride = 0;
    for (const words of lines.slice(at + 1)) {
        if (words[0] === "element") break;
        if (words[0] !== "property") continue;
        if (words[1] === "list") throw new Problem("ply.list", { name: words[4] || "-" });
        const type = TYPES[words[1]] || words[1];
        if (!BYTES[type]) throw new Problem("ply.type", { type });
        properties.push({ name: words[2] || "", type, offset: stride, column: properties.length });
        stride += BYTES[type];
    }
    return { count, stride, properties };
}

/** What the file is instead. @param {Uint8Array} bytes */
function foreign(bytes) {
    const start = text(bytes, 0, TELLING).toLowerCase();
    if (!bytes.length) return new Problem("file.empty");
    if (/^\s*<(!doctype|html)/.test(start)) return new Problem("file.page");
    if (start.startsWith("gltf")) return new Problem("file.glb");
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) return new Problem("file.gzip");
    if (start.startsWith("pk")) return new Problem("file.zip");
    if (/^\s*[{[]/.test(start)) return new Problem("file.json");
    if (start.startsWith("version https://git-lfs")) return new Problem("file.lfs");
    return new Problem("file.other");
}

/** @param {Uint8Array} bytes @param {number} from @param {number} to */
function text(bytes, from, to) {
    return new TextDecoder("latin1").decode(bytes.subarray(from, to)); // one letter a byte
}
