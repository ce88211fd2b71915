/** The picture as it stands, with photo and measure, as a PNG file. */
import { lengthText } from "./legend.mjs";
import { photoPlace } from "./overlay.mjs";

/** @typedef {import("../viewer.mjs").Viewer} Viewer */

/** @param {Viewer} viewer @returns {Promise<Blob>} */
export async function screenshot(viewer) {
    const photo = await comparedPhoto(viewer);
    viewer.renderer.draw(viewer.scene(), viewer.cloud ? viewer.cloud.count : 0); // what was drawn before is gone by now
    const { canvas } = viewer;
    const picture = new OffscreenCanvas(canvas.width, canvas.height);
    const pen = picture.getContext("2d");
    pen.drawImage(canvas, 0, 0);
    pen.scale(canvas.width / viewer.pixels[0], canvas.height / viewer.pixels[1]);
    if (photo) {
        const { left, top, width, height } = photoPlace(viewer);
        pen.globalAlpha = viewer.options.photoOpacity;
        pen.drawImage(photo, left, top, width, height);
        pen.globalAlpha = 1;
    }
    drawMeasure(viewer, pen);
    return picture.convertToBlob({ type: "image/png" });
}

/** Offer the picture as a download. @param {Viewer} viewer */
export async function saveScreenshot(viewer) {
    if (!viewer.renderer) return;
    const address = URL.createObjectURL(await screenshot(viewer));
    const link = document.createElement("a");
    link.href = address;
    link.download = `manyview-${new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** @param {Viewer} viewer */
async function comparedPhoto(viewer) {
    const camera = photoPlace(viewer)?.camera;
    if (!camera?.thumbnail || !viewer.options.photoOpacity) return null;
    const photo = new Image();
    photo.src = camera.thumbnail;
    await photo.decode();
    return photo;
}

/** @param {Viewer} viewer @param {OffscreenCanvasRenderingContext2D} pen */
function drawMeasure(viewer, pen) {
    const places = viewer.measure.points.map(({ position }) => viewer.picking.projector()(position)).filter(Boolean);
    for (const [width, color] of /** @type {[number, string][]} */ ([[4, "#000a"], [2, "#ffd24a"]])) {
        pen.lineWidth = width;
        pen.strokeStyle = color;
        pen.beginPath();
        for (const { x, y } of places) {
            pen.moveTo(x + 6, y);
            pen.arc(x, y, 6, 0, 2 * Math.PI);
        }
        if (places.length === 2) {
            pen.moveTo(places[0].x, places[0].y);
            pen.lineTo(places[1].x, places[1].y);
        }
        pen.stroke();
    }
    if (places.length < 2) return;
    pen.font = "600 13px sans-serif";
    pen.textAlign = "center";
    const [x, y] = [(places[0].x + places[1].x) / 2, (places[0].y + places[1].y) / 2];
    const text = lengthText(viewer, viewer.measure.units);
    const { width } = pen.measureText(text);
    pen.fillStyle = "#000b";
    pen.fillRect(x - width / 2 - 6, y - 11, width + 12, 22);
    pen.fillStyle = "#fff";
    pen.fillText(text, x, y + 5);
}
