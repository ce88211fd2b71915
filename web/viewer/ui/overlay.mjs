/** What lies flat over the picture: the photo that is compared, marks of picked points, the measured line, the axes' names. */
import { tangents } from "../data/cameras.mjs";
import { rotate } from "../scene/matrices.mjs";
import { h, show, svg } from "./dom.mjs";
import { lengthText } from "./legend.mjs";

/** @typedef {import("../viewer.mjs").Viewer} Viewer */

/** @type {[string, [number, number, number]][]} */
const AXES = [["x", [1, 0, 0]], ["y", [0, 1, 0]], ["z", [0, 0, 1]]];
const GIZMO_PX = 21;

/** @param {Viewer} viewer @returns {HTMLElement} */
export function overlay(viewer) {
    const photo = h("img.compare", { alt: "" });
    const marks = svg("svg", { class: "marks", "aria-hidden": "true" });
    const label = h("div.distance", { "aria-live": "polite" });
    const gizmo = svg("svg", { class: "gizmo", viewBox: "-40 -40 80 80", "aria-hidden": "true" });
    viewer.on("frame", () => {
        placePhoto(viewer, photo);
        placeMarks(viewer, marks, label);
        placeGizmo(viewer, gizmo);
    });
    return h("div.overlay", {}, photo, marks, label, gizmo);
}

/** Where the photo of the camera that is looked through lies, in CSS pixels; null while none is. @param {Viewer} viewer */
export function photoPlace(viewer) {
    const { view, navigation, cameraOf, pixels } = viewer;
    const camera = view.flight ? undefined : cameraOf.get(navigation.looking);
    if (!camera) return null;
    const [whole, part] = [view.tangents, tangents(camera)];
    const x = (/** @type {number} */ slope) => ((slope - whole.left) / (whole.right - whole.left)) * pixels[0];
    const y = (/** @type {number} */ slope) => ((whole.top - slope) / (whole.top - whole.bottom)) * pixels[1];
    const [left, top] = [x(part.left), y(part.top)];
    return { camera, left, top, width: x(part.right) - left, height: y(part.bottom) - top };
}

/** @param {Viewer} viewer @param {HTMLImageElement} photo */
function placePhoto(viewer, photo) {
    const place = photoPlace(viewer);
    const { photoOpacity } = viewer.options;
    const isShown = Boolean(place?.camera.thumbnail) && photoOpacity > 0;
    show(photo, isShown);
    if (!isShown) return;
    if (photo.src !== place.camera.thumbnail) photo.src = place.camera.thumbnail;
    photo.style.opacity = String(photoOpacity);
    for (const side of ["left", "top", "width", "height"]) photo.style[side] = `${place[side]}px`;
}

/** @param {Viewer} viewer @param {SVGElement} marks @param {HTMLElement} label */
function placeMarks(viewer, marks, label) {
    const { measure, picking } = viewer;
    const project = picking.projector();
    const places = measure.points.map((point) => project(point.position));
    const [a, b] = places;
    const both = Boolean(a && b);
    const line = both ? ["under", "over"].map((name) => svg("line", { x1: a.x, y1: a.y, x2: b.x, y2: b.y, class: name })) : [];
    const rings = places.filter(Boolean).map(({ x, y }) => svg("circle", { cx: x, cy: y, r: 6 }));
    marks.replaceChildren(...line, ...rings);
    show(label, both);
    if (!both) return;
    label.textContent = lengthText(viewer, measure.units);
    label.style.left = `${(a.x + b.x) / 2}px`;
    label.style.top = `${(a.y + b.y) / 2}px`;
}

/** The world's axes as they lie now. @param {Viewer} viewer @param {SVGElement} gizmo */
function placeGizmo(viewer, gizmo) {
    gizmo.style.display = viewer.options.axes ? "" : "none";
    const [x, y, z, w] = viewer.view.pose.rotation;
    const arms = AXES.map(([name, axis]) => ({ name, at: rotate([-x, -y, -z, w], axis) }));
    const parts = arms.sort((a, b) => a.at[2] - b.at[2]).flatMap(({ name, at }) => {
        const end = [at[0] * GIZMO_PX, -at[1] * GIZMO_PX];
        const text = svg("text", { x: end[0] * 1.45, y: end[1] * 1.45, class: name });
        text.textContent = name.toUpperCase();
        return [svg("line", { x1: 0, y1: 0, x2: end[0], y2: end[1], class: name }), text];
    });
    gizmo.classList.toggle("photo-behind", viewer.navigation.looking !== null);
    gizmo.replaceChildren(svg("circle", { r: 39 }), ...parts);
}
