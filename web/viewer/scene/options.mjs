/**
 * The one table of what a person or an embedding page can set: names, kinds, ranges, defaults. The panel, the address
 * of the page (?color=depth) and messages all use it.
 *
 * @typedef {{kind: "choice", choices: string[], initial: string}} Choice
 * @typedef {{kind: "number", low: number, high: number, initial: number}} NumberOption
 * @typedef {{kind: "switch", initial: boolean}} Switch
 * @typedef {{kind: "color", choices: string[], initial: string}} ColorOption a choice or #rrggbb
 * @typedef {{kind: "frames", initial: null}} FramesOption null for all, or a list of frame numbers
 * @typedef {{kind: "box", initial: null}} BoxOption null, or shares [[low, high], ...] of the cloud's width, height, depth
 * @typedef {Record<string, any>} Options
 */
import { Problem } from "../data/problem.mjs";

/** @type {Record<string, Choice | NumberOption | Switch | ColorOption | FramesOption | BoxOption>} */
export const OPTIONS = {
    color: { kind: "choice", choices: ["rgb", "confidence", "frame", "depth", "height"], initial: "rgb" },
    sizeMode: { kind: "choice", choices: ["world", "pixels"], initial: "world" },
    worldSize: { kind: "number", low: 0.1, high: 8, initial: 1 },
    pixelSize: { kind: "number", low: 1, high: 20, initial: 2 },
    confidenceBy: { kind: "choice", choices: ["rank", "value"], initial: "rank" },
    confidenceRank: { kind: "number", low: 0, high: 100, initial: 0 },
    confidenceValue: { kind: "number", low: -1e30, high: 1e30, initial: 0 },
    frames: { kind: "frames", initial: null },
    hideBacks: { kind: "switch", initial: true },
    frusta: { kind: "switch", initial: true },
    photos: { kind: "switch", initial: true },
    trajectory: { kind: "switch", initial: true },
    cameraSize: { kind: "number", low: 0.1, high: 8, initial: 1 },
    photoOpacity: { kind: "number", low: 0, high: 1, initial: 0 },
    navigation: { kind: "choice", choices: ["orbit", "fly"], initial: "orbit" },
    projection: { kind: "choice", choices: ["perspective", "orthographic"], initial: "perspective" },
    up: { kind: "choice", choices: ["auto", "+y", "-y", "+z", "-z", "+x", "-x"], initial: "auto" },
    shading: { kind: "number", low: 0, high: 1, initial: 0.4 },
    background: { kind: "color", choices: ["dark", "light", "black", "white"], initial: "dark" },
    grid: { kind: "switch", initial: false },
    axes: { kind: "switch", initial: true },
    clip: { kind: "box", initial: null },
    panel: { kind: "switch", initial: false },
    filmstrip: { kind: "switch", initial: false },
};

/** @returns {Options} */
export function initialOptions() {
    return Object.fromEntries(Object.entries(OPTIONS).map(([name, option]) => [name, option.initial]));
}

/**
 * The value as the option holds it; throws a Problem that names the option for a value that it cannot have. Text, as
 * in an address, will do for numbers ("0.5"), switches ("1", "0"), frames ("0,3") and boxes (JSON).
 *
 * @param {string} name
 * @param {any} value
 */
export function checkOption(name, value) {
    const option = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : null;
    if (!option) throw new Problem("option.unknown", { name });
    const checked = CHECKS[option.kind](value, option);
    if (checked === undefined) throw new Problem("option.value", { name, value: String(JSON.stringify(value)).slice(0, 80) });
    return checked;
}

/** For each kind the value, made fit, or undefined. @type {Record<string, (value: any, option: any) => any>} */
const CHECKS = {
    choice: (value, { choices }) => (choices.includes(value) ? value : undefined),
    number(value, { low, high }) {
        const number = typeof value === "string" && value.trim() ? Number(value) : value;
        if (typeof number !== "number" || Number.isNaN(number)) return undefined;
        return Math.min(high, Math.max(low, number));
    },
    switch: (value) => ({ true: true, false: false, 1: true, 0: false })[String(value)],
    color(value, { choices }) {
        return typeof value === "string" && (choices.includes(value) || /^#[0-9a-f]{6}$/i.test(value)) ? value : undefined;
    },
    frames(value) {
        if (value === null || value === "") return null;
        const list = typeof value === "string" ? value.split(",").map(Number) : value;
        const isFrame = (/** @type {any} */ frame) => Number.isInteger(frame) && frame >= 0;
        return Array.isArray(list) && list.every(isFrame) ? [...new Set(list)].sort((a, b) => a - b) : undefined;
    },
    box(value) {
        if (value === null || value === "") return null;
        const box = typeof value === "string" ? parsed(value) : value;
        const isRange = (/** @type {any} */ range) =>
            Array.isArray(range) && range.length === 2 && range.every(Number.isFinite) && range[0] <= range[1];
        return Array.isArray(box) && box.length === 3 && box.every(isRange) ? box.map((range) => [...range]) : undefined;
    },
};

/** @param {string} text */
function parsed(text) {
    try {
        return JSON.parse(text);
    } catch {
        return undefined;
    }
}
