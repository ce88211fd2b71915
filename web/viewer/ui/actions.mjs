/** What keys and buttons do, in one table: the help lists it, the keyboard and the toolbar use it. */
import { OPTIONS } from "../scene/options.mjs";
import { saveScreenshot } from "./screenshot.mjs";

/** @typedef {import("../viewer.mjs").Viewer} Viewer */

/** @type {("top" | "front" | "side")[]} */
const SIDES = ["top", "front", "side"];
const SIZES = { world: "worldSize", pixels: "pixelSize" };

/**
 * @param {Viewer} viewer
 * @param {{toggleHelp: () => void}} others
 * @returns {{keys: string[], also?: string[], word: string, run: (key: string) => void}[]} the help leaves out `also`
 */
export function actions(viewer, { toggleHelp }) {
    const { navigation, measure } = viewer;
    const flip = (/** @type {string} */ name) => viewer.setOptions({ [name]: !viewer.options[name] });
    const step = (/** @type {string} */ key, /** @type {string} */ forward) => (key === forward ? 1 : -1);
    return [
        { keys: ["h"], also: ["Home"], word: "help.home", run: () => navigation.home() },
        { keys: ["1", "2", "3"], word: "help.sides", run: (key) => navigation.lookFrom(SIDES[Number(key) - 1]) },
        { keys: ["o"], also: ["5"], word: "help.parallel", run: () => cycle(viewer, "projection") },
        { keys: ["ArrowRight", "ArrowLeft"], word: "help.step", run: (key) => navigation.stepFrame(step(key, "ArrowRight")) },
        { keys: ["f"], word: "help.alone", run: () => navigation.toggleAlone() },
        { keys: ["c"], word: "help.cameras", run: () => flip("frusta") },
        { keys: ["p"], word: "help.photo", run: () => viewer.setOptions({ photoOpacity: viewer.options.photoOpacity ? 0 : 0.6 }) },
        { keys: ["v"], word: "help.colors", run: () => cycle(viewer, "color") },
        { keys: ["-", "+"], also: ["="], word: "help.size", run: (key) => resize(viewer, key === "-" ? 1 / 1.25 : 1.25) },
        { keys: ["m"], word: "help.measure", run: () => viewer.setMeasuring(!measure.active) },
        { keys: ["g"], word: "help.grid", run: () => flip("grid") },
        { keys: ["x"], word: "help.axes", run: () => flip("axes") },
        { keys: ["b"], word: "help.background", run: () => viewer.setOptions({ background: viewer.background.isDark ? "light" : "dark" }) },
        { keys: ["t"], word: "help.filmstrip", run: () => flip("filmstrip") },
        { keys: ["n"], word: "help.panel", run: () => flip("panel") },
        { keys: ["i"], word: "help.screenshot", run: () => saveScreenshot(viewer) },
        { keys: ["Escape"], word: "help.escape", run: () => leave(viewer) },
        { keys: ["?"], word: "help", run: toggleHelp },
    ];
}

/** The next choice of an option. @param {Viewer} viewer @param {string} name */
function cycle(viewer, name) {
    const { choices } = /** @type {import("../scene/options.mjs").Choice} */ (OPTIONS[name]);
    viewer.setOptions({ [name]: choices[(choices.indexOf(viewer.options[name]) + 1) % choices.length] });
}

/** @param {Viewer} viewer @param {number} factor */
function resize(viewer, factor) {
    const name = SIZES[viewer.options.sizeMode];
    viewer.setOptions({ [name]: viewer.options[name] * factor });
}

/** Out of one thing after another: measuring, a picked point, a camera. @param {Viewer} viewer */
function leave(viewer) {
    if (viewer.measure.active) viewer.setMeasuring(false);
    else if (viewer.measure.points.length) viewer.clearPoints();
    else viewer.navigation.leave();
}
