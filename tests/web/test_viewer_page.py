"""The viewer as a page among others: messages with the page around it, words, sizes, and failures."""

import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EMPTY = b"ply\nformat ascii 1.0\nelement vertex 0\n" + b"".join(b"property float %c\n" % axis for axis in b"xyz")
EMPTY += b"end_header\n"
# Words that are put together from the choices of an option or the like.
FAMILIES = {"background", "clip", "color", "confidenceBy", "help", "navigation", "projection", "sizeMode", "view"}
AROUND = """<!doctype html><title>Around</title><iframe style="width: 460px; height: 340px; border: 0"></iframe>
<script>
window.heard = [];
window.addEventListener("message", (event) => window.heard.push(event.data));
window.say = (message) => document.querySelector("iframe").contentWindow.postMessage(message, "*");
</script>"""


@pytest.fixture
def embedded(visit, serve, root: Path, small: Path, tmp_path: Path):
    """A page with the viewer in a frame, as ComfyUI and the demo have it; and a way to wait for what it hears."""
    (tmp_path / "around.html").write_text(AROUND)
    base = serve({"/extensions/Any Folder": root / "web", "/files": small, "/page": tmp_path})
    page = visit(f"{base}/page/around.html", 480, 360, reduced_motion="reduce")
    address = f"{base}/extensions/Any%20Folder/viewer.html?lang=en"
    page.evaluate("(address) => { document.querySelector('iframe').src = address; }", address)

    def wait(condition: str, count: int = 1) -> dict:
        page.wait_for_function(f"window.heard.filter((each) => {condition}).length >= {count}")
        return page.evaluate(f"window.heard.filter((each) => {condition})")[count - 1]

    wait("each.event === 'ready'")
    return page, wait


def test_the_page_around_loads_sets_and_hears(embedded, small) -> None:
    page, wait = embedded
    load = {"manyview": "load", "id": 1, "cloud": "/files/points.ply", "cameras": "/files/cameras.json"}
    page.evaluate("(message) => say(message)", {**load, "options": {"color": "frame"}})
    reply = wait("each.id === 1")
    assert reply["ok"] and reply["value"]["cameras"] == 4 and reply["value"]["options"]["color"] == "frame"
    assert wait("each.event === 'loaded'")["state"]["points"] == reply["value"]["points"]
    assert wait("each.event === 'progress'")["progress"]["bytes"] >= 0
    page.evaluate("say({ manyview: 'options', id: 2, options: { confidenceRank: 30 } })")
    assert wait("each.id === 2")["ok"]
    assert wait("each.event === 'options' && 'confidenceRank' in each.options")["options"] == {"confidenceRank": 30}
    page.evaluate("say({ manyview: 'look', id: 3, frame: 2 })")
    assert wait("each.event === 'camera'")["name"] == "frame_06.jpg"
    page.evaluate("say({ manyview: 'screenshot', id: 4 })")
    wait("each.id === 4")
    kind = page.evaluate("heard.find((each) => each.id === 4).value.type")
    assert kind == "image/png"
    page.evaluate("say({ manyview: 'scale', id: 5, metersPerUnit: 2 })")
    assert wait("each.event === 'scale'")["metersPerUnit"] == 2
    page.evaluate("say({ manyview: 'pick', id: 6, x: 230, y: 170 })")
    assert wait("each.id === 6")["value"] == wait("each.event === 'point'")["point"]


def test_bytes_and_objects_are_taken_too(embedded, small) -> None:
    page, wait = embedded
    cameras = json.loads((small / "cameras.json").read_text())
    page.evaluate(
        """async (cameras) => {
            const cloud = await (await fetch("/files/points.ply")).arrayBuffer();
            say({ manyview: "load", id: 1, cloud, cameras });
        }""",
        cameras,
    )
    assert wait("each.id === 1")["value"]["cameras"] == 4


def test_another_cloud_keeps_the_view_when_asked(embedded) -> None:
    page, wait = embedded
    load = "say({ manyview: 'load', id: %d, cloud: '/files/points.ply', cameras: '/files/cameras.json', keepView: %s })"
    page.evaluate(load % (1, "true"))
    wait("each.id === 1")
    page.evaluate("say({ manyview: 'view', id: 2, side: 'top' })")
    page.evaluate("say({ manyview: 'state', id: 3 })")
    top = wait("each.id === 3")["value"]["view"]["position"]
    page.evaluate(load % (4, "true"))
    assert wait("each.id === 4")["value"]["view"]["position"] == top
    page.evaluate(load % (5, "false"))
    assert wait("each.id === 5")["value"]["view"]["position"] != top


def test_wrong_requests_get_a_sentence(embedded) -> None:
    page, wait = embedded
    for number, (message, words) in enumerate(
        (
            ({"manyview": "options", "options": {"colour": "rgb"}}, "no option colour"),
            ({"manyview": "options", "options": {"color": "pink"}}, "color cannot be"),
            ({"manyview": "options", "options": {"clip": [[1, 0], [0, 1], [0, 1]]}}, "clip cannot be"),
            ({"manyview": "options", "options": {"frames": [-1]}}, "frames cannot be"),
            ({"manyview": "look", "frame": 99}, "frame cannot be"),
            ({"manyview": "scale", "metersPerUnit": -1}, "metersPerUnit cannot be"),
            ({"manyview": "load", "cameras": {"format": "other"}}, "does not hold cameras"),
        )
    ):
        page.evaluate("(message) => say(message)", {**message, "id": number})
        reply = wait(f"each.id === {number}")
        assert not reply["ok"] and words in reply["error"]


def test_strangers_are_not_heard(embedded, visit, serve, root, small) -> None:
    page, wait = embedded
    # a frame beside the viewer is not the page around it
    page.evaluate(
        """() => {
            const stranger = document.createElement("iframe");
            stranger.srcdoc = "<script>parent.frames[0].postMessage({manyview: 'state', id: 1}, '*')</" + "script>";
            document.body.append(stranger);
            return new Promise((done) => { stranger.onload = done; });
        }"""
    )
    for odd in (
        "null",
        "'text'",
        "{ manyview: 'toString', id: 2 }",
        "{ manyview: 7, id: 2 }",
        "{ manyview: 'evil', id: 2 }",
    ):
        page.evaluate(f"say({odd})")
    page.evaluate("say({ manyview: 'state', id: 3 })")
    wait("each.id === 3")
    assert page.evaluate("heard.filter((each) => each.id === 1 || each.id === 2).length") == 0


def test_another_origin_has_to_be_named(visit, serve, root: Path, tmp_path: Path) -> None:
    (tmp_path / "around.html").write_text(AROUND)
    viewer, around = serve({"/v": root / "web"}), serve({"/page": tmp_path})
    page = visit(f"{around}/page/around.html", 480, 360)
    page.evaluate("(address) => { document.querySelector('iframe').src = address; }", f"{viewer}/v/viewer.html")
    page.frame_locator("iframe").locator(".empty").wait_for()
    page.evaluate("say({ manyview: 'state', id: 1 })")
    page.evaluate(
        "(address) => { heard.length = 0; document.querySelector('iframe').src = address; }",
        f"{viewer}/v/viewer.html?origin={around}",
    )
    page.wait_for_function("heard.some((each) => each.event === 'ready')")
    page.evaluate("say({ manyview: 'state', id: 2 })")
    page.wait_for_function("heard.some((each) => each.id === 2)")
    assert not page.evaluate("heard.some((each) => each.id === 1)")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("points.ply", b"<html>Not found</html>" + bytes(64), "came a web page"),
        (
            "points.ply",
            EMPTY,
            "has no points",
        ),
        ("cameras.json", b"{", "not valid JSON"),
        ("cameras.json", b'{"format": "manyview-cameras", "version": 2, "cameras": []}', "unknown version 2"),
    ],
)
def test_a_bad_file_is_named_and_the_page_lives_on(open_viewer, small, copy_of, name, content, words) -> None:
    folder = copy_of(small)
    good = (folder / name).read_bytes()
    (folder / name).write_bytes(content)
    viewer = open_viewer(folder)
    problem = viewer.page.locator(".problem")
    problem.wait_for()
    assert words in problem.inner_text() and words in viewer.events("problem")[0]["text"]
    problem.get_by_role("button", name="Close").click()
    assert viewer.page.locator(".empty").is_visible()
    (folder / name).write_bytes(good)
    assert viewer.ask("load", cloud="/files/points.ply", cameras="/files/cameras.json")["cameras"] == 4


def test_a_bad_camera_is_named(open_viewer, small) -> None:
    viewer = open_viewer(small)
    good = json.loads((small / "cameras.json").read_text())
    for field, value in (
        ("size", [0, 3]),
        ("intrinsics", [[1, 0], [0, 1]]),
        ("camera_to_world", "identity"),
        ("frame", 1.5),
    ):
        bad = {**good, "cameras": [good["cameras"][0], {**good["cameras"][1], field: value}]}
        with pytest.raises(Exception, match=f"Camera 1 in the file of cameras has a wrong or missing {field}"):
            viewer.ask("load", cloud="/files/points.ply", cameras=bad)
    assert viewer.settle()["cameras"] == 4, "what was shown stays"


def test_a_missing_file_is_named(open_viewer, log) -> None:
    viewer = open_viewer(cloud="/files/nothing.ply")
    viewer.page.locator(".problem").wait_for()
    assert "404 for /files/nothing.ply" in viewer.page.locator(".problem").inner_text()
    assert [line for line in log.errors if "404" not in line] == []  # the browser itself complains of it
    log.errors.clear()


def test_a_wrong_option_in_the_address_is_named(open_viewer) -> None:
    viewer = open_viewer(color="pink")
    assert "color cannot be" in viewer.page.locator(".problem").inner_text()


def test_a_short_file_is_shown_with_a_warning(open_viewer, small, copy_of) -> None:
    folder = copy_of(small)
    data = (folder / "points.ply").read_bytes()
    (folder / "points.ply").write_bytes(data[: len(data) // 2])
    viewer = open_viewer(folder)
    state = viewer.settle()
    warning = viewer.page.locator(".warning")
    assert state["points"] > 0 and state["dropped"] > 0 and warning.is_visible()
    assert f"{state['dropped']:,}" in warning.inner_text()


def test_options_in_the_address(open_viewer, small) -> None:
    options = {"color": "height", "frames": "0,2", "background": "#102030", "grid": 1, "pixelSize": "3.5"}
    state = open_viewer(small, **options).settle()
    assert {name: state["options"][name] for name in options} == {
        **{"color": "height", "frames": [0, 2], "background": "#102030", "grid": True, "pixelSize": 3.5}
    }


def test_the_languages_have_the_same_words(root: Path) -> None:
    tables = {}
    for language in ("en", "zh", "ja"):
        text = (root / "web" / "viewer" / "ui" / f"strings_{language}.mjs").read_text()
        pairs = re.findall(r'^    "([^"]+)": (".*"),$', text, re.MULTILINE)
        assert len(pairs) == text.count('": "'), "every line was understood"
        tables[language] = {key: json.loads(value) for key, value in pairs}
    places = {key: sorted(re.findall(r"\{\w+\}", value)) for key, value in tables["en"].items()}
    for table in tables.values():
        assert {key: sorted(re.findall(r"\{\w+\}", value)) for key, value in table.items()} == places
    sources = "".join(
        file.read_text() for file in (root / "web" / "viewer").rglob("*.mjs") if "strings_" not in file.name
    )
    for key in tables["en"]:
        assert f'"{key}"' in sources or key.split(".")[0] in FAMILIES, f"{key} is not used"


@pytest.mark.parametrize(("language", "word"), [("zh-CN", "\u8bbe\u7f6e"), ("ja", "\u8a2d\u5b9a"), ("xx", "Settings")])
def test_the_page_speaks_the_language_of_the_address(open_viewer, small, language, word) -> None:
    viewer = open_viewer(small, lang=language, panel=1, width=700)
    assert viewer.page.locator(".panel h2").inner_text() == word
    text = viewer.page.evaluate("document.body.innerText")
    assert not re.search(r"\b\w+\.\w+\b(?<!\.jpg)(?<!\d)", re.sub(r"[\d.,]+|frame_\d+\.jpg", "", text)), (
        "a key shows through"
    )


@pytest.mark.parametrize(("width", "height"), [(300, 300), (480, 360), (1600, 900)])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_leaves_the_page_at_any_size(open_viewer, small, width, height, theme) -> None:
    viewer = open_viewer(small, width, height, theme=theme, filmstrip=1)
    boxes = viewer.page.locator(".toolbar, .tool, .status, .filmstrip").evaluate_all(
        "(all) => all.map((each) => each.getBoundingClientRect().toJSON())"
    )
    for box in boxes:
        assert box["left"] >= 0 and box["top"] >= 0 and box["right"] <= width and box["bottom"] <= height, box
    viewer.options(panel=True)
    panel = viewer.page.locator(".panel").bounding_box()
    assert panel["x"] >= 0 and panel["x"] + panel["width"] <= width and panel["y"] + panel["height"] <= height
    stage = viewer.page.locator(".stage").bounding_box()
    assert stage["width"] * stage["height"] > 0.25 * width * height, "the cloud stays in sight"


def test_everything_has_a_name(open_viewer, small) -> None:
    viewer = open_viewer(small, 800, 600, panel=1, filmstrip=1)
    nameless = viewer.page.evaluate(
        """[...document.querySelectorAll("button, input, select, canvas")].filter((each) => {
            if (each.type === "file" || each.ariaHidden === "true") return false;
            return !(each.ariaLabel || each.textContent || each.closest("label")?.textContent);
        }).map((each) => each.outerHTML)"""
    )
    assert nameless == []


def test_help_lists_keys_and_closes(open_viewer, small) -> None:
    viewer = open_viewer(small, 700, 500)
    viewer.page.keyboard.press("?")
    dialog = viewer.page.locator("dialog")
    assert dialog.is_visible() and "First view" in dialog.inner_text()
    viewer.page.keyboard.press("Escape")
    assert not dialog.is_visible()
    viewer.page.locator("[data-tool=help]").click()
    assert dialog.is_visible()


def test_keys_do_what_the_help_says(open_viewer, small) -> None:
    viewer = open_viewer(small)
    press = viewer.page.keyboard.press
    for key, name, values in (
        ("c", "frusta", [False, True]),
        ("g", "grid", [True, False]),
        ("x", "axes", [False, True]),
        ("n", "panel", [True, False]),
        ("t", "filmstrip", [True, False]),
        ("v", "color", ["confidence", "frame"]),
        ("b", "background", ["light", "dark"]),
        ("o", "projection", ["orthographic", "perspective"]),
        ("p", "photoOpacity", [0.6, 0]),
        ("+", "worldSize", [1.25, 1.5625]),
        ("-", "worldSize", [1.25, 1]),
    ):
        for value in values:
            press(key)
            assert viewer.ask("state")["options"][name] == pytest.approx(value), key
    press("1")
    view = viewer.settle()["view"]
    assert np.dot(np.subtract(view["target"], view["position"]), view["up"]) < 0


def test_a_picture_is_saved(open_viewer, small, tmp_path) -> None:
    viewer = open_viewer(small)
    with viewer.page.expect_download() as download:
        viewer.page.locator("[data-tool=screenshot]").click()
    assert re.fullmatch(r"manyview-[\d-]+\.png", download.value.suggested_filename)
    download.value.save_as(tmp_path / "saved.png")
    assert (np.asarray(Image.open(tmp_path / "saved.png").convert("RGB")) == viewer.picture()).all()


def test_the_view_comes_back_after_the_context_was_lost(open_viewer, small) -> None:
    viewer = open_viewer(small)
    before = viewer.picture()
    viewer.page.evaluate(
        "document.querySelector('canvas').getContext('webgl2').getExtension('WEBGL_lose_context').loseContext()"
    )
    message = viewer.page.locator(".lost")
    message.wait_for()
    message.get_by_role("button", name="Show again").click()
    assert (viewer.picture() == before).all() and not message.is_visible()
    viewer.page.mouse.click(240, 180)  # the new canvas listens as the old one did
    viewer.settle()
    assert viewer.events("point")


def test_without_webgl_there_is_a_sentence(visit, serve, root) -> None:
    base = serve({"/v": root / "web"})
    page = visit("about:blank")
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
    page.goto(f"{base}/v/viewer.html?lang=en")
    assert "WebGL2 is off or missing" in page.locator(".problem").inner_text()


def test_no_foreign_address_is_ever_asked(open_viewer, small, log) -> None:
    viewer = open_viewer(small)
    with pytest.raises(Exception, match="Nothing could be loaded"):
        viewer.ask("load", cloud="http://192.0.2.1/points.ply")
    assert log.foreign == [], "the page's own policy stops it before the network does"
    assert all("Content Security Policy" in line for line in log.errors)
    log.errors.clear()


def test_a_newer_load_replaces_an_older_one(open_viewer, small) -> None:
    viewer = open_viewer()
    held = threading.Event()

    def late(route) -> None:
        held.wait(10)
        route.fulfill(path=str(small / "points.ply"))

    viewer.page.route("**/late.ply", late)
    viewer.page.evaluate(
        "() => { window.late = ask('load', { cloud: '/late.ply' }).then(() => 'done', () => 'refused'); }"
    )
    held.set()
    chooser = viewer.page.locator("input[type=file]")
    chooser.set_input_files([small / "points.ply", small / "cameras.json"])
    viewer.wait_for("loaded")
    assert viewer.settle()["cameras"] == 4
