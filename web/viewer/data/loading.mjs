/** Files from an address, a dropped file or bytes, into points and cameras, with progress and plain words when it fails. */
import { readCameras } from "./cameras.mjs";
import { Cloud } from "./cloud.mjs";
import { PlyReader } from "./ply.mjs";
import { Problem } from "./problem.mjs";

/**
 * @typedef {string | Blob | ArrayBuffer} Source
 * @typedef {(done: {bytes: number, total: number | null, points: number, announced: number}) => void} Progress
 */

const PIECE = 1 << 20; // bytes parsed between two looks at the clock
const BREATH_MS = 24;

/**
 * The cloud of a PLY file.
 *
 * @param {Source} source
 * @param {Progress} progress
 * @param {AbortSignal} signal
 * @returns {Promise<Cloud>}
 */
export async function loadCloud(source, progress, signal) {
    const { stream, total } = await open(source, signal);
    const reader = new PlyReader();
    const breathe = breather(signal);
    let bytes = 0;
    const parts = stream.getReader();
    for (;;) {
        const { done, value } = await parts.read().catch((error) => {
            throw signal.aborted ? error : new Problem("file.broken");
        });
        if (done) break;
        for (let at = 0; at < value.length; at += PIECE) {
            reader.push(value.subarray(at, at + PIECE));
            bytes += Math.min(PIECE, value.length - at);
            progress({ bytes, total, points: reader.done, announced: reader.announced });
            await breathe();
        }
    }
    return Cloud.from(finished(reader), breathe);
}

/** @param {PlyReader} reader */
function finished(reader) {
    const points = reader.finish();
    if (!points.announced) throw new Problem("ply.empty");
    if (!points.count) throw new Problem(reader.done ? "ply.nowhere" : "ply.truncated", { count: points.announced });
    return points;
}

/**
 * The cameras of a JSON file, or of an object that was such a file.
 *
 * @param {Source | object} source
 * @param {AbortSignal} signal
 * @returns {Promise<import("./cameras.mjs").CameraSet>}
 */
export async function loadCameras(source, signal) {
    const isObject = typeof source === "object" && !(source instanceof Blob) && !(source instanceof ArrayBuffer);
    if (isObject) return readCameras(source, document.baseURI);
    const base = typeof source === "string" ? new URL(source, document.baseURI).href : document.baseURI;
    const { stream } = await open(/** @type {Source} */ (source), signal);
    const text = await new Response(stream).text();
    let parsed;
    try {
        parsed = JSON.parse(text);
    } catch {
        throw new Problem("cameras.json");
    }
    return readCameras(parsed, base);
}

/** @param {Source} source @param {AbortSignal} signal @returns {Promise<{stream: ReadableStream<Uint8Array>, total: number | null}>} */
async function open(source, signal) {
    if (source instanceof ArrayBuffer) source = new Blob([source]);
    if (source instanceof Blob) return { stream: source.stream(), total: source.size };
    let answer;
    try {
        answer = await fetch(source, { signal });
    } catch (error) {
        if (signal.aborted) throw error;
        throw new Problem("file.unreachable", { address: source });
    }
    if (!answer.ok) throw new Problem("file.status", { status: answer.status, address: source });
    const length = Number(answer.headers.get("Content-Length"));
    const isPacked = answer.headers.has("Content-Encoding");
    return { stream: answer.body, total: length && !isPacked ? length : null };
}

/** A function that, awaited, lets the page draw when it has not for a while; it throws once the signal is given. @param {AbortSignal} signal */
function breather(signal) {
    let last = performance.now();
    return async () => {
        signal.throwIfAborted();
        if (performance.now() - last < BREATH_MS) return;
        await new Promise((resolve) => { setTimeout(resolve); });
        last = performance.now();
    };
}
