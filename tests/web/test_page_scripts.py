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
from manyview.nodes.viewer_page import viewer_page
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
        route.fulfill(body=files[name]) if name in files else route.fulfill(status=404)

    found.route("**/api/view?*", answer)
    found.route("**/api/manyview/viewer?*", lambda route: route.fulfill(body=viewer_page(), content_type="text/html"))
    found.wait_for_function("typeof window.makeNode == 'function'")
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
    finish(page, manyview_density=["density.png [temp]"], manyview_frames=["a/0.png [temp]", "a/1.png [temp]"])
    pictures = page.locator("img[title^='View']")
    assert pictures.count() == 2 and page.locator("img[alt^='Density']").is_visible()
    assert pictures.nth(1).get_attribute("src") == "/api/view?filename=1.png&subfolder=a&type=temp"
    page.wait_for_function("document.querySelector('img[title^=View]').naturalWidth == 40")
    box = pictures.nth(1).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] * 3 / 4)
    layer, frame, x, y = page.evaluate("node.widgets.slice(0, 4).map(w => w.value)")
    assert (layer, frame) == (None, 1) and (x, y) == (pytest.approx(0.25, abs=0.02), pytest.approx(0.75, abs=0.02))
    assert page.evaluate("node.called[0]") == "y" and page.locator(".manyview-mark:visible").count() == 1
    page.mouse.click(*(pictures.nth(0).bounding_box()[key] + 5 for key in "xy"))
    assert page.evaluate("node.widgets[1].value") == 0 and page.locator(".manyview-mark:visible").count() == 1


@pytest.fixture
def shown(files: dict, scene: Reconstruction, tmp_path: Path) -> dict[str, list[str]]:
    """The output of a Preview whose files the server has."""
    write_viewer(point_cloud(scene), scene, tmp_path / "shown")
    files |= {name: (tmp_path / "shown" / name).read_bytes() for name in ("points.ply", "cameras.json")}
    return {"manyview_preview": ["points.ply [temp]", "cameras.json [temp]"], "manyview_scene": ["a"]}


def count_loads(page: Any) -> None:
    page.evaluate(
        "window.loaded = []; addEventListener('message', e => e.data.event == 'loaded' && loaded.push(e.data.state))"
    )


def wait_for_load(page: Any, number: int = 1) -> dict:
    page.wait_for_function("(n) => loaded.length == n", arg=number)
    return page.evaluate("loaded.at(-1)")


def test_viewer_loads_every_result(page: Any, shown: dict, scene: Reconstruction) -> None:
    page.evaluate("window.locale = 'ja'; makeNode('ManyView_Preview')")
    assert page.locator("iframe").count() == 0 and page.locator(".manyview-empty").count() == 1
    count_loads(page)
    finish(page, text=["a result without files changes nothing"])
    views = []
    for number, key in enumerate(("a", "a", "b"), start=1):
        finish(page, **{**shown, "manyview_scene": [key]})
        state = wait_for_load(page, number)
        views.append(state["view"]["position"])
        if number == 1:  # the user looks from somewhere else
            page.evaluate("frames[0].postMessage({manyview: 'view', side: 'top'}, location.origin)")
            page.wait_for_timeout(1500)
    address = page.locator("iframe").get_attribute("src")
    assert address.startswith("/api/manyview/viewer?") and "lang=ja" in address and "theme=dark" in address
    assert views[1] != views[0] and views[2] == pytest.approx(views[0], rel=1e-3)
    assert state["points"] == len(point_cloud(scene)) and state["cameras"] == 3
    assert page.evaluate("[node.widgets.length, node.widgets[0].serialize]") == [1, False]
    page.evaluate("node.onRemoved()")


def test_empty_viewer_says_what_to_do(page: Any) -> None:
    page.evaluate("makeNode('ManyView_Preview')")
    assert page.locator(".manyview-empty").inner_text() == "Run the workflow"


def test_widgets_are_there_before_a_saved_size_is_given(page: Any) -> None:
    for kind, size in (("ManyView_Preview", [420, 300]), ("ManyView_SparsityReport", [500, 800])):
        page.evaluate("([kind, size]) => makeNode(kind, [], {size})", [kind, size])
        page.wait_for_timeout(200)
        assert page.evaluate("[node.size, node.widgets.length]") == [size, 1]


def test_result_comes_back_with_a_saved_node(page: Any, shown: dict) -> None:
    """F5 and files: the page knows nothing but what was saved."""
    page.evaluate("makeNode('ManyView_PointCloud')")
    finish(page, text=["7 points"], manyview_path=["/home/somebody/output/a"], manyview_folder=["a"])
    page.wait_for_function("window.noted == 1")
    saved = page.evaluate("node.properties")
    assert "somebody" not in str(saved)
    page.evaluate("(properties) => makeNode('ManyView_PointCloud', [], {properties, size: [310, 222]})", saved)
    assert page.locator("pre").all_inner_texts() == ["7 points"] * 2
    count_loads(page)
    page.evaluate("(r) => makeNode('ManyView_Preview', [], {properties: {manyview_result: r}})", shown)
    assert wait_for_load(page)["cameras"] == 3


def test_result_comes_back_from_the_outputs_of_a_tab(page: Any, shown: dict) -> None:
    """Undo makes nodes of a state before the run; another tab may have outputs of a run that ended meanwhile."""
    page.evaluate("makeNode('ManyView_PointCloud')")
    page.evaluate("giveOutputs({1: {text: ['8 points']}, 77: {text: ['of another graph']}})")
    assert page.locator("pre").all_inner_texts() == ["8 points"]
    page.evaluate("giveOutputs({2: {text: ['9 points']}})")
    page.evaluate("makeNode('ManyView_PointCloud', [], {properties: {manyview_result: {text: ['old']}}})")
    assert page.locator("pre").all_inner_texts() == ["8 points", "9 points"]


def test_a_cached_node_keeps_its_text(page: Any) -> None:
    page.evaluate("makeNode('ManyView_PointCloud')")
    finish(page, text=["7 points"])
    page.evaluate("node.onExecuted(null)")
    assert page.locator("pre").all_inner_texts() == ["7 points"]


def test_files_that_are_gone_are_no_error(page: Any, log: Any) -> None:
    result = {"manyview_preview": ["gone.ply [temp]", "gone.json [temp]"], "manyview_scene": ["a"]}
    page.evaluate("(r) => makeNode('ManyView_Preview', [], {properties: {manyview_result: r}})", result)
    page.get_by_text("Run the workflow again").wait_for()
    assert page.locator("iframe").count() == 0
    log.errors.clear()  # the browser's own line about the answer 404


def test_export_offers_its_folder_and_files(page: Any) -> None:
    page.evaluate("makeNode('ManyView_ExportPointCloud')")
    entries = [{"filename": name, "subfolder": "a/b", "type": "output"} for name in ("thumbnail.png", "x.ply", "x.glb")]
    finish(
        page,
        text=["3 files in output/a/b"],
        manyview_folder=["a/b"],
        manyview_path=["/here/output/a/b"],
        **{"3d": entries},
    )
    links = page.locator("a[download]")
    assert links.all_inner_texts() == ["x.ply", "x.glb", "Download zip"]
    assert links.nth(2).get_attribute("href") == "/api/manyview/zip?folder=a%2Fb"
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text }")
    page.get_by_role("button", name="Copy folder").click()
    page.wait_for_function("window.copied == '/here/output/a/b'")


def test_shortcuts_of_the_page_work_in_the_viewer(page: Any, shown: dict) -> None:
    page.evaluate("makeNode('ManyView_Preview')")
    count_loads(page)
    finish(page, **shown)
    wait_for_load(page)
    page.evaluate("window.keys = []; addEventListener('keydown', e => keys.push((e.ctrlKey ? 'Ctrl+' : '') + e.key))")
    page.frame_locator("iframe").locator("canvas").first.click()
    for key in ("Control+Enter", "Control+s", "w", "Delete"):  # w flies, Delete would delete the node
        page.keyboard.press(key)
    page.wait_for_function("keys.includes('Ctrl+s')")
    assert page.evaluate("keys.filter(key => !['Control', 'Ctrl+Control'].includes(key))") == ["Ctrl+Enter", "Ctrl+s"]


def upload(page: Any, names: list[str]) -> list[str]:
    """Choose files of these names; what is told."""
    page.evaluate(
        "import('/scripts/app.js').then(m => m.app.refreshComboInNodes = async () => (window.refreshed = true))"
    )
    page.evaluate("makeNode('ManyView_LoadImages', ['source', 'masks']); node.widgets[0].options.values = ['photos']")
    with page.expect_file_chooser() as chooser:
        page.evaluate("node.widgets[2].callback()")
    chooser.value.set_files([{"name": name, "mimeType": "", "buffer": b"x"} for name in names])
    page.wait_for_function("window.told?.length")
    return page.evaluate("told.splice(0).map(each => each.detail)")


def test_photos_are_uploaded_into_a_folder_of_their_own(page: Any) -> None:
    sent: list[str] = []

    def take(route: Any) -> None:
        sent.append(route.request.post_data)
        route.fulfill(json={"name": "x.jpg", "subfolder": "", "type": "input"})

    page.route("**/api/upload/image", take)
    told = upload(page, ["b.jpg", "a.HEIC", "notes.txt"])
    page.wait_for_function("node.widgets[0].value")
    source = page.evaluate("node.widgets[0].value")
    assert source.startswith("photos_2") and len(sent) == 2 and all(source in body for body in sent)
    assert 'filename="b.jpg"' in sent[0] and "notes.txt" in " ".join(told)
    assert page.evaluate("node.called")[1] == source and page.evaluate("window.refreshed")
    upload(page, ["film.mp4"])
    page.wait_for_function("node.widgets[0].value")
    assert page.evaluate("node.widgets[0].value") == "x.jpg" and 'name="subfolder"' not in sent[2]


def test_uploads_that_cannot_be_are_told(page: Any, log: Any) -> None:
    assert "None of these files" in upload(page, ["notes.txt"])[0]
    assert "got 1 photos and 2 videos" in upload(page, ["a.jpg", "a.mp4", "b.mov"])[0]
    page.route("**/api/upload/image", lambda route: route.fulfill(status=413))
    assert "max-upload-size" in upload(page, ["a.mp4"])[0]
    assert page.evaluate("[node.widgets[0].value, node.widgets[2].label]") == [None, "Upload photos or a video"]
    log.errors.clear()  # the browser's own line about the answer 413
