/** Which points are shown: the numbers behind the options. */

/** @typedef {import("../data/cloud.mjs").Cloud} Cloud @typedef {import("./layout.mjs").Layout} Layout */

const FAR = 3e38;

/** Confidence that a point must have. @param {Cloud | null} cloud @param {Record<string, any>} options */
export function leastConfidence(cloud, options) {
    if (!cloud || !cloud.confidence) return -Infinity;
    return options.confidenceBy === "value" ? Math.fround(options.confidenceValue) : cloud.confidenceAt(options.confidenceRank);
}

/** Frames whose points are hidden. @param {number[]} frames @param {number[] | null} shown */
export function hiddenFrames(frames, shown) {
    return new Set(shown ? frames.filter((frame) => !shown.includes(frame)) : []);
}

/**
 * The clip box along the layout's axes; an end that cuts nothing is endlessly far away.
 *
 * @param {Layout} layout
 * @param {number[][] | null} clip shares of width, height, depth
 */
export function clipBox(layout, clip) {
    const { low, high } = layout;
    const at = (/** @type {number} */ axis, /** @type {number} */ share) => {
        if (share <= 0) return -FAR;
        return share >= 1 ? FAR : low[axis] + share * (high[axis] - low[axis]);
    };
    const ranges = clip || [[0, 1], [0, 1], [0, 1]];
    return { low: ranges.map((range, axis) => at(axis, range[0])), high: ranges.map((range, axis) => at(axis, range[1])) };
}

/**
 * How many points are shown.
 *
 * @param {Cloud | null} cloud
 * @param {number} least confidence
 * @param {Set<number>} hidden frames
 * @param {{axes: number[][], low: number[], high: number[]} | null} box
 */
export function countShown(cloud, least, hidden, box) {
    if (!cloud) return 0;
    const isInside = box && ((/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ z) => {
        for (let i = 0; i < 3; i += 1) {
            const axis = box.axes[i];
            const place = axis[0] * x + axis[1] * y + axis[2] * z;
            if (place < box.low[i] || place > box.high[i]) return false;
        }
        return true;
    });
    return cloud.countShown(least, hidden, isInside);
}
