/** Colours of numbers and of frames. The stops are those of scene/preview.py, so that pictures and viewer agree. */

/** @typedef {[number, number, number]} Color 0..255 */

/** Near is light, far is dark. @type {Color[]} */
export const DEPTH = [
    [252, 243, 178], [252, 181, 64], [241, 113, 58], [201, 56, 98], [128, 37, 130], [52, 32, 122], [13, 16, 45],
];
/** Red is least trusted, green most. @type {Color[]} */
export const CONFIDENCE = [
    [60, 12, 24], [160, 42, 44], [226, 128, 52], [238, 208, 96], [132, 196, 92], [30, 138, 98], [10, 84, 88],
];
/** Low is blue, high is yellow. @type {Color[]} */
export const HEIGHT = [
    [42, 34, 96], [44, 76, 148], [34, 122, 158], [44, 164, 140], [112, 200, 104], [196, 222, 88], [252, 236, 150],
];

/** Bytes (4 x 256) of evenly spaced stops. @param {Color[]} stops */
export function ramp(stops) {
    const bytes = new Uint8Array(4 * 256).fill(255);
    for (let i = 0; i < 256; i += 1) {
        const place = (i / 255) * (stops.length - 1);
        const low = Math.min(stops.length - 2, Math.floor(place));
        for (let channel = 0; channel < 3; channel += 1) {
            const [a, b] = [stops[low][channel], stops[low + 1][channel]];
            bytes[4 * i + channel] = Math.round(a + (b - a) * (place - low));
        }
    }
    return bytes;
}

/** The same as CSS, from left to right. @param {Color[]} stops */
export const gradient = (stops) => `linear-gradient(to right, ${stops.map((color) => `rgb(${color})`).join(", ")})`;

/** Colours of frames: from red for the first through the rainbow to violet for the last. @param {number} count @returns {Color[]} */
export function frameColors(count) {
    return Array.from({ length: count }, (_, i) => fromHue(count > 1 ? (0.8 * i) / (count - 1) : 0, 0.85, 0.95));
}

/** @param {number} hue @param {number} saturation @param {number} value each 0..1 @returns {Color} */
function fromHue(hue, saturation, value) {
    const channel = (/** @type {number} */ n) => {
        const k = (n + hue * 6) % 6;
        return Math.round(255 * value * (1 - saturation * Math.max(0, Math.min(k, 4 - k, 1))));
    };
    return [channel(5), channel(3), channel(1)];
}
