"""What people do on the page, in a browser, with the bundled model."""

import json
import re
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

RUN_MS = 400_000  # for a run on a machine with much else to do
SMALL = "#photos input[data-name=files]"

WATCH = """() => {
    window.begun = false;
    new MutationObserver((_, watch) => {
        if (!document.querySelector("#cancel:not([disabled])")) return;
        window.begun = true;
        watch.disconnect();
    }).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""


class Visitor:
    """Somebody at the page."""

    def __init__(self, demo: Any, visit: Any, **options: Any) -> None:
        self.demo = demo
        self.page = visit(demo.url, **({"width": 1400, "height": 900} | options))
        self.page.wait_for_selector("#photos .mv-tile")

    def tab(self, name: str) -> None:
        """Open a tab."""
        self.page.get_by_role("tab", name=name, exact=True).click()

    def status(self, state: str) -> str:
        """The line of status once it is of this kind."""
        return self.page.wait_for_selector(f"#status [data-state={state}]", timeout=RUN_MS).inner_text()

    def press(self, button: str) -> str:
        """Press a button and wait for the end of what it does."""
        self.page.evaluate(WATCH)  # the work may be done sooner than a look from outside comes by
        self.page.click(button)
        self.page.wait_for_function("window.begun")
        self.page.wait_for_selector("#cancel[disabled]", state="attached", timeout=RUN_MS)
        return self.page.locator("#status .mv-status").inner_text()

    def points(self, viewer: str = "#viewer") -> int:
        """How many points a viewer shows."""
        frame = self.page.frame_locator(f"{viewer} iframe")
        text = frame.locator("text=/[0-9,]+ points/").first.inner_text()
        return int(re.search(r"([0-9,]+) points", text)[1].replace(",", ""))

    def see(self, count: int) -> None:
        """Wait until the viewer shows so many points."""
        frame = self.page.frame_locator("#viewer iframe")
        frame.locator(f"text={count:,} points").first.wait_for()

    def trouble(self) -> str:
        """The sentence of a message; it is closed."""
        toast = self.page.locator(".toast-body").first
        text = toast.inner_text()
        toast.locator("button.toast-close").click()
        toast.wait_for(state="detached")
        return text

    def open_workflow(self, path: Path) -> None:
        """Choose a file for the button."""
        with self.page.expect_file_chooser() as chooser:
            self.page.click("#open-workflow")
        chooser.value.set_files(path)

    def download(self, click: Any, target: Path) -> Path:
        """Keep what comes from a click."""
        with self.page.expect_download() as found:
            click()
        found.value.save_as(target)
        return target


@pytest.fixture
def visitor(demo: Any, visit: Any) -> Visitor:
    """Somebody who has just come."""
    return Visitor(demo, visit)


def count_of(status: str) -> int:
    """The points that a line of status tells."""
    return int(re.search(r"([0-9,]+) points", status)[1].replace(",", ""))


def test_upload_reconstruct_filter_compare_export(visitor: Visitor, demo: Any, root: Path, tmp_path: Path) -> None:
    page, before = visitor.page, demo.runs
    page.set_input_files(SMALL, [root / "sample" / f"frame_0{number}.jpg" for number in (0, 2, 4)])
    page.wait_for_selector("#photos .mv-hint:has-text('3 photos')")
    demo.picture(page, "start")
    first = count_of(visitor.press("#run"))
    visitor.see(first)
    picture = page.locator("#viewer iframe").screenshot()
    assert len(picture) > 30_000, "a cloud is no plain surface"
    demo.picture(page, "reconstructed")
    assert demo.runs == before + 1

    page.get_by_label("range slider for Hide the least certain (%)").press("ArrowRight")
    page.wait_for_function(f"!document.querySelector('#status').innerText.includes('{first:,}')")
    page.get_by_label("number input for Hide the least certain (%)").fill("60")
    points = "Number(/([0-9,]+) points/.exec(document.querySelector('#status').innerText)?.[1].replaceAll(',', ''))"
    page.wait_for_function(f"{points} < {0.7 * first}")
    second = count_of(visitor.status("done"))
    visitor.see(second)
    assert 0.4 * first < second < 0.7 * first and demo.runs == before + 1, "the network did not run again"

    visitor.tab("Depth and confidence")
    shown = page.locator("#frames img")
    assert shown.count() == 9
    shown.first.scroll_into_view_if_needed()
    page.wait_for_function("[...document.querySelectorAll('#frames img')].some((each) => each.naturalWidth > 50)")
    demo.picture(page, "frames")
    visitor.tab("Cameras")
    page.locator("#cameras :text('frame_04.jpg'):visible").first.wait_for()
    visitor.tab("Report")
    assert "peak memory" in page.locator("#report").inner_text()

    page.get_by_label("Dense below (tokens)").first.fill("1")
    page.get_by_label("Dense below (tokens)").first.press("Tab")
    visitor.tab("Compare")
    visitor.press("#compare-run")
    text = page.locator("#comparison").inner_text()
    assert demo.runs == before + 2 and "compared with" in text and "100.0 %" in text and "do not differ" not in text
    assert visitor.points("#viewer-a") and visitor.points("#viewer-b")
    page.wait_for_function("[...document.querySelectorAll('#differences img')].some((each) => each.naturalWidth > 50)")
    demo.picture(page, "compare")

    visitor.tab("Files")
    visitor.press("#make-files")
    glb = visitor.download(lambda: page.click("#files a:has-text('.glb')"), tmp_path / "scene.glb")
    clouds = [each for each in trimesh.load(glb).geometry.values() if isinstance(each, trimesh.PointCloud)]
    assert max(len(each.vertices) for each in clouds) > 1000 and demo.runs == before + 2
    demo.picture(page, "files")

    visitor.tab("Workflow")
    saved = visitor.download(lambda: page.click("#save-workflow"), tmp_path / "workflow.json")
    document = json.loads(saved.read_text())
    assert document["version"] == 0.4 and any(node["type"] == RECONSTRUCT for node in document["nodes"])
    source = next(node for node in document["nodes"] if node["type"] == "ManyView_LoadImages")
    assert "photos" in source["widgets_values"]
    command = [sys.executable, str(root), "run", str(saved), "--input", str(root), "--out", str(tmp_path / "out")]
    command += ["--set", "load images.source=sample", "--set", "load images.limit=2", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "out").rglob("*.glb")) and list((tmp_path / "out").rglob("*.ply"))

    visitor.open_workflow(glb)
    page.wait_for_selector("#workflow :text('Its settings are in the controls now')")
    demo.picture(page, "workflow")


RECONSTRUCT = "ManyView_Reconstruct"


def test_photos_are_put_in_order_and_taken_out(visitor: Visitor, root: Path) -> None:
    page = visitor.page
    page.set_input_files(SMALL, [root / "sample" / f"frame_0{number}.jpg" for number in (0, 1, 2)])
    page.wait_for_selector("#photos .mv-hint:has-text('3 photos')")

    def see(*names: str) -> None:
        shown = "[...document.querySelectorAll('#photos .mv-tile')].map((each) => each.title).join()"
        page.wait_for_function(f"{shown} === '{','.join(names)}'")

    tiles = page.locator("#photos .mv-tile")
    tiles.nth(2).press("ArrowLeft")
    see("frame_00.jpg", "frame_02.jpg", "frame_01.jpg")
    assert page.locator("#photos .mv-moved").inner_text() == "frame_02.jpg is number 1 of 0 to 2 now."
    page.wait_for_timeout(1500)  # the page hears of the order and draws the tiles anew; a hand is slower than that
    focused = "document.activeElement.closest('.mv-tile')?.title"
    assert page.evaluate(focused) == "frame_02.jpg", "the focus goes with the photo"
    tiles.nth(0).drag_to(tiles.nth(2), target_position={"x": 80, "y": 20})
    see("frame_02.jpg", "frame_01.jpg", "frame_00.jpg")
    page.get_by_role("button", name="Remove frame_01.jpg").click()
    page.wait_for_selector("#photos .mv-hint:has-text('2 photos')")
    see("frame_02.jpg", "frame_00.jpg")
    mask = {"name": "frame_00.png", "mimeType": "image/png", "buffer": picture_bytes()}
    page.set_input_files("#photos input[data-name=masks]", mask)
    page.wait_for_selector("#photos .mv-hint:has-text('1 with masks')")
    assert tiles.nth(1).inner_text().startswith("1 mask")
    page.get_by_role("button", name="Make frame_00.jpg the first view").click()
    see("frame_00.jpg", "frame_02.jpg")
    page.set_input_files(SMALL, root / "sample" / "walk.mp4")
    page.wait_for_selector("#photos .mv-ask :text('This would replace 2 photos.')")
    page.click("#photos [data-answer=no]")
    page.wait_for_selector("#photos .mv-ask", state="hidden")
    see("frame_00.jpg", "frame_02.jpg")


def test_a_page_that_is_loaded_again_keeps_photos_and_job(visitor: Visitor, demo: Any, root: Path, log: Any) -> None:
    page, before = visitor.page, demo.runs
    page.set_input_files(SMALL, [root / "sample" / f"frame_0{number}.jpg" for number in (0, 2, 4)])
    page.wait_for_selector("#photos .mv-hint:has-text('3 photos')")
    demo.hold(True)
    page.click("#run")
    page.wait_for_selector("#status :text('Reconstructing')")
    page.reload()
    page.wait_for_selector("#photos .mv-hint:has-text('3 photos')")
    page.wait_for_selector("#status [data-state=running]")
    slider = page.get_by_label("number input for Hide the least certain (%)")
    slider.fill("90")  # while it runs
    demo.hold(False)
    few = (
        "Number(/([0-9,]+) points/.exec(document.querySelector('#status').innerText)?.[1].replaceAll(',', '')) < 30000"
    )
    page.wait_for_function(few)
    visitor.see(count_of(visitor.status("done")))
    slider.fill("")
    slider.press("Enter")
    assert slider.input_value() == "90", "an emptied number says again what the cloud has"
    number = page.get_by_label("Most points", exact=True)
    number.fill("500")
    number.press("Enter")
    page.wait_for_function(few.replace("30000", "501"))
    number.fill("")
    number.press("Enter")
    page.wait_for_function(f"!({few.replace('30000', '501')})")
    assert number.input_value() == "1000000"
    page.reload()
    visitor.see(count_of(visitor.status("done")))
    assert demo.runs == before + 1
    log.errors.clear()  # gradio complains of answers that a page did not wait for


def test_models_tell_their_licence(visitor: Visitor) -> None:
    page = visitor.page
    page.locator("#model input").click()
    page.get_by_role("option", name="pi3", exact=True).click()
    page.wait_for_selector("#model-text :text('non-commercial use only')")
    assert "3.8 GB" in page.locator("#model-text").inner_text()
    if "not on this computer" in page.locator("#model-text").inner_text():
        assert page.locator("#download").is_visible()


def test_a_known_length_makes_the_scene_metric(visitor: Visitor, demo: Any) -> None:
    page = visitor.page
    visitor.see(count_of(visitor.press("#run")))
    box = page.locator("#viewer iframe").bounding_box()
    frame = page.frame_locator("#viewer iframe")
    page.locator("#viewer iframe").focus()
    frame.locator("canvas").first.press("m")
    length = frame.locator("input[data-measure=length]")
    for across, down in product((0.35, 0.45, 0.55, 0.65), (0.45, 0.55)):  # until two of the clicks have met a point
        page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])
        page.wait_for_timeout(300)
        if length.is_visible():
            break
    length.fill("2")
    frame.locator(".known button").click()
    page.wait_for_selector("#scale-text :text('In metres')")
    demo.picture(page, "measured")
    assert "in metres" in visitor.status("done")
    page.get_by_role("button", name="Forget scale").click()
    page.wait_for_selector("#scale-text :text('Scale unknown')")


def test_two_users_at_once(demo: Any, visit: Any, log: Any) -> None:
    one, other = Visitor(demo, visit), Visitor(demo, visit)
    demo.hold(True)
    one.page.set_input_files(SMALL, {"name": "mine.png", "mimeType": "image/png", "buffer": picture_bytes()})
    one.page.wait_for_selector("#photos .mv-hint:has-text('1 photo')")
    address = one.page.locator("#photos img").first.get_attribute("src")
    other.page.click("#sample-video")
    other.page.wait_for_selector("#photos .mv-hint:has-text('Sample video')")
    assert one.page.locator("#photos .mv-hint").inner_text() == "1 photo", "one sees only what is one's own"
    token = address.split("/")[-3]
    assert other.page.request.get(demo.url + address).ok and len(token) > 20, "nobody else can know this address"
    assert other.page.request.get(demo.url + address.replace(token, token[::-1])).status == 404

    before = demo.runs
    one.page.click("#run")
    one.page.wait_for_selector("#status :text('Reconstructing')")
    other.page.click("#run")
    assert "1 job before yours" in other.status("waiting")
    demo.picture(other.page, "queue")
    other.page.click("#cancel")
    assert "Cancelled" in other.status("idle")
    one.page.click("#cancel")
    assert "Cancelled" in one.status("idle")
    demo.picture(one.page, "cancelled")
    demo.hold(False)
    assert demo.runs == before
    one.press("#run")
    assert demo.runs == before + 1
    log.errors.clear()  # of the address that is not there


def test_files_go_when_the_visitor_leaves(visitor: Visitor, demo: Any) -> None:
    others = demo.visitors
    visitor.page.click("#sample-video")
    visitor.page.wait_for_selector("#photos .mv-hint:has-text('Sample video')")
    (mine,) = demo.visitors - others  # who only looks has no files
    visitor.page.close()
    end = time.monotonic() + 60
    while mine.exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not mine.exists()


def test_wrong_files_are_told_in_a_sentence(visitor: Visitor, demo: Any, tmp_path: Path) -> None:
    page = visitor.page
    page.set_input_files(SMALL, {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"})
    assert "notes.txt is no photo or video" in visitor.trouble()
    page.set_input_files(SMALL, {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"hello"})
    assert "broken.jpg" in visitor.trouble()
    visitor.tab("Workflow")
    bad = tmp_path / "bad.json"
    bad.write_text('{"1": {"class_type": "NoSuchNode", "inputs": {}}}')
    visitor.open_workflow(bad)
    assert "NoSuchNode" in visitor.trouble()
    page.click("#photos [data-clear]")
    page.wait_for_selector("#photos .mv-hint:has-text('No photos yet')")
    page.click("#run")
    page.wait_for_selector(".toast-body")
    demo.picture(page, "error")
    assert "no photos" in visitor.trouble()


@pytest.mark.parametrize(
    ("name", "options"),
    [("narrow", {"width": 390, "height": 844}), ("dark", {"color_scheme": "dark"})],
)
def test_it_fits_other_screens(demo: Any, visit: Any, name: str, options: dict[str, Any]) -> None:
    visitor = Visitor(demo, visit, **options)
    page = visitor.page
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0, "nothing sticks out at the side"
    text = visitor.press("#run")
    demo.picture(page, name)
    assert page.evaluate(wide) <= 0
    said = page.locator("#status .mv-spoken")
    assert said.get_attribute("aria-live") == "polite" and "views" in said.text_content()
    if name == "narrow":
        assert "See the result" in text
        page.click("#status .mv-see")
        page.wait_for_function("document.activeElement.tagName === 'IFRAME'")
        for tab in ("Depth and confidence", "Cameras"):
            page.locator(".overflow-menu > button").first.click()
            page.locator(".overflow-dropdown button", has_text=tab).first.click()
            page.wait_for_selector("#frames img" if tab != "Cameras" else "#cameras :text('frame_04.jpg'):visible")
            assert page.evaluate(wide) <= 0, "a wide table scrolls by itself"


def picture_bytes() -> bytes:
    """A PNG of noise."""
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()
