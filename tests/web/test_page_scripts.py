"""What our scripts put on ComfyUI's page, on a stand-in for that page."""

import io
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from manyview.models.checkpoints import load_model
from manyview.nodes.load_images import load_images
from manyview.nodes.reconstruct import reconstruct
from manyview.scene.export.viewer import write_viewer
from manyview.scene.pointcloud import point_cloud
from manyview.scene.reconstruction import Reconstruction

HERE = Path(__file__).parent


@pytest.fixture
def files() -> dict[str, bytes]:
    """What the server has, by file name."""
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), (90, 20, 30)).save(picture, format="PNG")
    return dict.fromkeys(("density.png", "0.png", "1.png"), picture.getvalue())


@pytest.fixture
def page(serve: Any, visit: Any, root: Path, files: dict[str, bytes]) -> Any:
    """The page with our extension loaded."""
    scripts = HERE / "stand_in" / "scripts"
    place = serve({"/page": HERE / "stand_in", "/scripts": scripts, "/extensions/Any-Name": root / "web"})
    found = visit(f"{place}/page/index.html")

    def answer(route: Any) -> None:
        name = parse_qs(urlsplit(route.request.url).query)["filename"][0]
        route.fulfill(body=files[name])

    found.route("**/api/view?*", answer)
    found.wait_for_function("window.makeNode")
    found.wait_for_function("import('/scripts/app.js').then(m => m.app.extensions.length)")
    return found


@pytest.fixture
def scene(tiny_model: Path, photos: Path) -> Reconstruction:
    """Of three pictures."""
    model = load_model(tiny_model)
    return reconstruct(model, load_images(photos, model=model))


def finish(page: Any, **output: Any) -> None:
    """The node has run."""
    page.evaluate("(output) => node.onExecuted(output)", output)


def entry(name: str) -> dict[str, str]:
    return {"filename": name, "subfolder": "", "type": "temp"}


def test_extension_has_a_name_of_its_own(page: Any) -> None:
    names = page.evaluate("import('/scripts/app.js').then(m => m.app.extensions.map(e => e.name))")
    assert names == ["ManyView.Nodes"]
    assert page.evaluate("Object.keys(window).filter(n => /manyview/i.test(n))") == []


def test_text_of_a_result(page: Any) -> None:
    page.evaluate("makeNode('ManyView_PointCloud', ['frames'])")
    assert page.evaluate("node.widgets.length") == 1
    finish(page, text=["1 point"])
    finish(page, text=["2 points\nsecond line"])
    finish(page)
    assert page.locator("pre").all_inner_texts() == ["2 points\nsecond line"]
    assert page.evaluate("[node.widgets.length, node.widgets[1].serialize, before]") == [2, False, 3]


def test_nodes_of_others_are_left_alone(page: Any) -> None:
    page.evaluate("makeNode('KSampler', ['seed'])")
    finish(page, text=["x"])
    assert page.evaluate("[node.widgets.length, document.querySelectorAll('pre, iframe').length]") == [1, 0]


def test_picker_sets_the_patch(page: Any) -> None:
    page.evaluate("makeNode('ManyView_SparsityReport', ['layer', 'frame', 'x', 'y'])")
    finish(page, text=["..."])  # a result without pictures changes nothing
    finish(page, manyview_density=[entry("density.png")], manyview_frames=[entry("0.png"), entry("1.png")])
    pictures = page.locator("img[title^='View']")
    assert pictures.count() == 2 and page.locator("img[alt^='Density']").is_visible()
    assert pictures.nth(1).get_attribute("src") == "/api/view?filename=1.png&subfolder=&type=temp"
    page.wait_for_function("document.querySelector('img[title^=View]').naturalWidth == 40")
    box = pictures.nth(1).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] * 3 / 4)
    layer, frame, x, y = page.evaluate("node.widgets.slice(0, 4).map(w => w.value)")
    assert (layer, frame) == (None, 1) and (x, y) == (pytest.approx(0.25, abs=0.02), pytest.approx(0.75, abs=0.02))
    assert page.evaluate("node.called[0]") == "y" and page.locator(".manyview-mark:visible").count() == 1
    page.mouse.click(*(pictures.nth(0).bounding_box()[key] + 5 for key in "xy"))
    assert page.evaluate("node.widgets[1].value") == 0 and page.locator(".manyview-mark:visible").count() == 1


def test_browser_asks_for_newer_modules(page: Any, root: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.resource_type == "fetch" else None)
    page.evaluate("makeNode('ManyView_Preview')")
    page.wait_for_selector("iframe")
    ours = {path.relative_to(root / "web").as_posix() for path in (root / "web").rglob("*.mjs")}
    assert sorted(url.split("/Any-Name/")[1] for url in asked) == sorted(ours)


def test_viewer_loads_every_result(page: Any, files: dict, scene: Reconstruction, tmp_path: Path) -> None:
    write_viewer(point_cloud(scene), scene, tmp_path / "shown")
    files |= {name: (tmp_path / "shown" / name).read_bytes() for name in ("points.ply", "cameras.json")}
    page.evaluate("makeNode('ManyView_Preview')")
    address = page.locator("iframe").get_attribute("src")
    assert "/extensions/Any-Name/viewer.html" in address and "lang=ja" in address and "theme=dark" in address
    page.evaluate(
        "window.loaded = []; addEventListener('message', e => e.data.event == 'loaded' && loaded.push(e.data.state))"
    )
    finish(page, text=["a result without files changes nothing"])
    views = []
    for number, key in enumerate(("a", "a", "b"), start=1):
        finish(page, manyview_preview=[entry("points.ply"), entry("cameras.json")], manyview_scene=[key])
        page.wait_for_function("(n) => loaded.length == n", arg=number)
        views.append(page.evaluate("loaded.at(-1).view.position"))
        if number == 1:  # the user looks from somewhere else
            page.evaluate("frames[0].postMessage({manyview: 'view', side: 'top'}, location.origin)")
            page.wait_for_timeout(1500)
    assert views[1] != views[0] and views[2] == pytest.approx(views[0], rel=1e-3)
    assert page.evaluate("loaded[1].points") == len(point_cloud(scene)) and page.evaluate("loaded[1].cameras") == 3
    assert page.evaluate("[node.widgets.length, node.widgets[0].serialize]") == [1, False]
    page.evaluate("node.onRemoved()")
