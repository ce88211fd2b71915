/** Backgrounds as colours for the shader, top and bottom, and whether light or dark marks stand out on them. */

const NAMED = {
    dark: [[58, 64, 74], [26, 28, 33]],
    light: [[250, 251, 252], [222, 226, 231]],
    black: [[0, 0, 0], [0, 0, 0]],
    white: [[255, 255, 255], [255, 255, 255]],
};

/** @param {string} name a named one or #rrggbb @returns {{colors: [number[], number[]], isDark: boolean}} colours 0..1 */
export function backgroundOf(name) {
    const own = [1, 3, 5].map((at) => parseInt(name.slice(at, at + 2), 16));
    const pair = NAMED[name] || [own, own];
    const light = pair.flat().reduce((sum, value) => sum + value) / 6;
    const colors = /** @type {[number[], number[]]} */ (pair.map((color) => color.map((value) => value / 255)));
    return { colors, isDark: light < 140 };
}
