/** Icons as strokes on a field of 24 x 24. */
import { svg } from "./dom.mjs";

const PATHS = {
    home: "M4 11 12 4l8 7M6 9.5V20h4.5v-5h3v5H18V9.5",
    views: "M12 3 4 7.5v9L12 21l8-4.5v-9L12 3ZM4 7.5l8 4.5 8-4.5M12 12v9",
    cameras: "M3 6h11v12H3zM14 10l7-4v12l-7-4z",
    measure: "M3 16 16 3l5 5L8 21zM7 12l2 2M10 9l2 2M13 6l2 2",
    screenshot: "M4 8h4l1.5-2.5h5L16 8h4v11H4zM12 10a3.2 3.2 0 1 1 0 6.4 3.2 3.2 0 1 1 0-6.4",
    filmstrip: "M3 6h18v12H3zM8 6v12M16 6v12M3 12h5M16 12h5",
    settings: "M4 7h8M18 7h2M15 4.5v5M4 17h3M13 17h7M10 14.5v5",
    help: "M12 3a9 9 0 1 1 0 18 9 9 0 1 1 0-18M9.5 9.5a2.5 2.5 0 1 1 3.6 2.3c-.8.4-1.1.9-1.1 1.9M12 16.8v.2",
    fullscreen: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
    previous: "M15 5l-7 7 7 7",
    next: "M9 5l7 7-7 7",
    close: "M6 6l12 12M18 6 6 18",
    eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12M12 9.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 1 1 0-5.6",
    hidden: "M4 4l16 16M9.5 5.9A9 9 0 0 1 12 5.5c6 0 9.5 6.5 9.5 6.5a17 17 0 0 1-3 3.7M6 7.4A17 17 0 0 0 2.5 12S6 18.5 12 18.5a9 9 0 0 0 4.2-1",
    copy: "M8 8h11v12H8zM5 16V4h10",
    cloud: "M5 17h.01M9 12h.01M14 15h.01M12 8h.01M18 11h.01M16 6h.01M7 8h.01M19 16h.01M10 18h.01M14 20h.01",
    warning: "M12 4 2.5 20h19zM12 10v4.5M12 17.3v.2",
};

/** @param {keyof typeof PATHS} name */
export function icon(name) {
    const path = svg("path", { d: PATHS[name] });
    return svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, path);
}
