/** What the points' shader knows of each frame, as a texture of three texels a frame (see points_pass.mjs). */
import { forward } from "../data/cameras.mjs";

/** Frames in a row of the table, and texels of each. */
export const TABLE = { frames: 256, texels: 3 };
const [HIDDEN, SHOWN, WITH_CAMERA] = [0, 1, 2];

/**
 * The table's numbers and its rows.
 *
 * @param {number[]} frames
 * @param {Map<number, import("../data/cameras.mjs").Camera>} cameraOf
 * @param {Map<number, import("../scene/color_maps.mjs").Color>} colors
 * @param {Set<number>} hidden
 * @returns {{data: Float32Array, rows: number}}
 */
export function frameTable(frames, cameraOf, colors, hidden) {
    const rows = Math.floor((frames.at(-1) ?? 0) / TABLE.frames) + 1;
    const width = 4 * TABLE.texels;
    const data = new Float32Array(rows * TABLE.frames * width);
    for (const frame of frames) {
        const camera = cameraOf.get(frame);
        const at = frame * width;
        data[at + 3] = hidden.has(frame) ? HIDDEN : camera ? WITH_CAMERA : SHOWN;
        data.set(colors.get(frame).map((value) => value / 255), at + 8);
        if (!camera) continue;
        data.set(camera.position, at);
        data.set([...forward(camera), 1 / Math.sqrt(camera.focal[0] * camera.focal[1])], at + 4);
    }
    return { data, rows };
}
