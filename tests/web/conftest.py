"""The 3D viewer in a browser: a page object that speaks the viewer's own messages, and a scene whose truth is known."""

import base64
import io
import json
import shutil
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from manyview.scene.export import write_viewer
from manyview.scene.pointcloud import PointCloud, point_cloud
from manyview.scene.reconstruction import Reconstruction

FRAMES = (0, 3, 6, 9)
PATIENCE_S = 60
# `ask` sends a request and waits for its reply; `events` holds what the viewer told by itself.
CLIENT = """
window.events = [];
window.addEventListener("message", ({ data }) => { if (data.manyview === "event") window.events.push(data); });
window.ask = (manyview, about) => new Promise((resolve, reject) => {
    const id = Math.random();
    const listen = ({ data }) => {
        if (data.manyview !== "reply" || data.id !== id) return;
        window.removeEventListener("message", listen);
        if (data.ok) resolve(data.value);
        else reject(new Error(data.error));
    };
    window.addEventListener("message", listen);
    window.postMessage({ manyview, id, ...about });
});
window.picture = async () => {
    const blob = await window.ask("screenshot", {});
    const bytes = new Uint8Array(await blob.arrayBuffer());
    let text = "";
    for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    return btoa(text);
};
"""


class ViewerPage:
    """One open viewer."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def ask(self, request: str, **about: Any) -> Any:
        """The value of the reply; the error's sentence as an exception otherwise."""
        return self.page.evaluate("([name, about]) => window.ask(name, about)", [request, about])

    def options(self, **options: Any) -> None:
        """Set options and wait until they are drawn."""
        self.ask("options", options=options)
        self.settle()

    def settle(self) -> dict[str, Any]:
        """The state once everything is loaded and drawn."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            state = self.ask("state")
            if state["settled"]:
                return state
            time.sleep(0.02)
        raise AssertionError(f"the viewer did not come to rest: {state}")

    def picture(self) -> np.ndarray:
        """What the 3D view shows (H, W, 3) uint8, without panels."""
        self.settle()
        png = base64.b64decode(self.page.evaluate("window.picture()"))
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the viewer told under this name so far."""
        return self.page.evaluate("(name) => window.events.filter((each) => each.event === name)", name)

    def wait_for(self, name: str, count: int = 1) -> dict[str, Any]:
        """The count-th event of this name, as soon as there is one."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            found = self.events(name)
            if len(found) >= count:
                return found[count - 1]
            time.sleep(0.02)
        raise AssertionError(f"the viewer told {len(found)} times of {name!r}, not {count} times")

    def place_of(self, point: np.ndarray) -> tuple[float, float]:
        """Where a point (3,) of the file is on the page, in CSS pixels."""
        view = self.settle()["view"]
        x, y, z, w = view["quaternion"]
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        right, up, back = rotation.T @ (np.asarray(point, dtype=np.float64) - view["position"])
        edge = view["tangents"]
        size = self.page.viewport_size
        across = (right / -back - edge["left"]) / (edge["right"] - edge["left"])
        along = (edge["top"] - up / -back) / (edge["top"] - edge["bottom"])
        return across * size["width"], along * size["height"]


@dataclass(frozen=True)
class Truth:
    """A rendered scene with exact cameras and depth, and the folder of its files for the viewer."""

    scene: Reconstruction
    cloud: PointCloud
    folder: Path


@pytest.fixture(scope="session")
def truth(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """Four frames of the bundled sample; confidence falls with distance."""
    about = json.loads((root / "sample" / "cameras.json").read_text())["frames"]
    chosen = [about[frame] for frame in FRAMES]
    images = np.stack([np.asarray(Image.open(root / "sample" / entry["file"])) for entry in chosen])
    with np.load(root / "sample" / "depth.npz") as file:
        depth = file["depth"][list(FRAMES)].astype(np.float32)
    count, height, width = depth.shape
    scene = Reconstruction(
        images=images,
        depth=depth,
        confidence=(1 / (1 + np.maximum(depth, 0))).astype(np.float32),
        world_to_camera=np.array([entry["world_to_camera"] for entry in chosen]),
        intrinsics=np.array([entry["intrinsics"] for entry in chosen]),
        names=tuple(entry["file"] for entry in chosen),
        original_sizes=np.array([[width, height]] * count),
        scale_offset=np.array([[1.0, 1.0, 0.0, 0.0]] * count),
    )
    cloud = point_cloud(scene, confidence_percentile=0, edge_filter=None, outlier_filter=False)
    folder = tmp_path_factory.mktemp("truth") / "scene"
    write_viewer(cloud, scene, folder)
    return Truth(scene, cloud, folder)


@pytest.fixture
def open_viewer(visit, serve, root: Path, tmp_path: Path) -> Callable[..., ViewerPage]:
    """open_viewer(folder, width=, height=, **address parameters): the viewer, showing the folder's files if it has any.

    It is served as ComfyUI does, under a folder name that nobody could guess.
    """
    browser = {"reduced_motion": "reduce"}  # flights arrive at once

    def open_page(folder: Path | None = None, width: int = 480, height: int = 360, **parameters: Any) -> ViewerPage:
        base = serve({"/extensions/My-Pack.v1.2": root / "web", "/files": folder or tmp_path})
        query = {"lang": "en", "theme": "dark"}
        for name in ("points.ply", "cameras.json"):
            if folder and (folder / name).exists():
                query["cloud" if name == "points.ply" else "cameras"] = f"/files/{name}"
        query |= {name: str(value) for name, value in parameters.items()}
        page = visit("about:blank", width, height, **browser)
        page.add_init_script(CLIENT)
        page.goto(f"{base}/extensions/My-Pack.v1.2/viewer.html?{urllib.parse.urlencode(query)}")
        viewer = ViewerPage(page)
        viewer.settle()
        return viewer

    return open_page


@pytest.fixture
def small(truth: Truth, tmp_path: Path) -> Path:
    """A folder with the same cameras and a cloud thinned to 20,000 points, for tests that need no dense picture."""
    from manyview.scene.pointcloud import thin

    folder = tmp_path / "small"
    write_viewer(thin(truth.cloud, 20_000), truth.scene, folder)
    return folder


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """A copy of a folder that a test may spoil."""
    return lambda folder: Path(shutil.copytree(folder, tmp_path / "copy"))
