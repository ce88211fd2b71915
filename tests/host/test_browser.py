"""ComfyUI's own page with our nodes in it, in a headless Chromium.

Screenshots go into the folder that MANYVIEW_SCREENSHOTS names, to be looked at.
"""

import base64
import io
import json
import os
import runpy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).resolve().parents[1]
PACK = "/My-Pack_2/"
RENDERERS = [pytest.param(False, id="classic"), pytest.param(True, id="nodes-2.0")]
RUN_S = 300


class Page:
    """ComfyUI's page, and what it complained about."""

    def __init__(self, page: Any, errors: list[str]) -> None:
        self.page, self.errors = page, errors

    def js(self, code: str, value: Any = None) -> Any:
        return self.page.evaluate(code, value)

    def setting(self, name: str, value: Any) -> None:
        self.js("async ([n, v]) => { await app.extensionManager.setting.set(n, v) }", [name, value])
        self.page.wait_for_timeout(1000)

    def open(self, name: str) -> None:
        """An example workflow, as dropping its file would."""
        workflow = json.loads((HERE.parent / "example_workflows" / f"{name}.json").read_text(encoding="utf-8"))
        self.js("async (w) => { await app.loadGraphData(w) }", workflow)
        self.page.wait_for_timeout(1000)

    def fit(self) -> None:
        self.js("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        self.page.wait_for_timeout(1000)

    def run(self) -> None:
        """Press the Run button and wait until the queue is empty."""
        self.page.get_by_test_id("queue-button").click()
        self.page.wait_for_timeout(1000)
        end = time.monotonic() + RUN_S
        while time.monotonic() < end:
            queue = self.js("async () => (await fetch('/queue')).json()")
            if not queue["queue_running"] and not queue["queue_pending"]:
                self.page.wait_for_timeout(1500)
                return
            self.page.wait_for_timeout(300)
        raise AssertionError("the graph did not come to an end")

    def types(self) -> list[str]:
        return self.js("() => app.graph.nodes.map(n => n.type)")

    def prompt(self) -> dict[str, Any]:
        return self.js("async () => (await app.graphToPrompt()).output")

    def shot(self, name: str) -> None:
        folder = os.environ.get("MANYVIEW_SCREENSHOTS")
        if folder:
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"))

    def colourful(self, selector: str) -> float:
        """Share of an element's pixels that are no grey: a viewer without a cloud shows none."""
        self.js(
            "() => { const n = app.graph.nodes.find(n => n.type == 'ManyView_Preview'); app.canvas.ds.scale = 1;"
            "app.canvas.ds.offset = [80 - n.pos[0], 110 - n.pos[1]]; app.canvas.setDirty(true, true) }"
        )
        self.page.wait_for_timeout(4000)
        picture = Image.open(io.BytesIO(self.page.locator(selector).first.screenshot())).convert("RGB")
        pixels = np.asarray(picture).astype(int)
        self.shot("viewer")
        return float((pixels.max(-1) - pixels.min(-1) > 40).mean())

    @property
    def ours(self) -> list[str]:
        """Complaints that have to do with us; a page without internet has others of its own."""
        about_us = (error for error in self.errors if PACK in error or "manyview" in error.lower())
        return [error for error in about_us if "ERR_NAME_NOT_RESOLVED" not in error]


@pytest.fixture
def page(open_page: Any) -> Iterator[Page]:
    errors: list[str] = []

    def listen(page: Any) -> None:
        page.set_default_timeout(60_000)
        page.on(
            "console", lambda m: errors.append(f"{m.text} ({m.location.get('url', '')})") if m.type == "error" else None
        )
        page.on("pageerror", lambda error: errors.append(f"{error} {error.stack}"))

    found = Page(open_page(1700, 1050, listen), errors)
    yield found
    found.page.context.close()
    assert not found.ours, "\n".join(found.ours)


@pytest.fixture(scope="module")
def maker(shared) -> dict:
    return runpy.run_path(str(HERE / "make_workflows.py"), run_name="maker")


def test_template_browser(page: Page) -> None:
    page.page.get_by_text("Templates", exact=True).first.click()
    page.page.get_by_text("My-Pack_2", exact=True).last.click()
    card = page.page.locator("[data-testid='template-workflow-1 Quick Start']")
    card.wait_for()
    assert page.page.locator("[data-testid^='template-workflow-']").count() == 6
    page.page.wait_for_timeout(1500)
    loaded = "() => [...document.querySelectorAll('img')].filter(i => i.src.includes('workflow_templates'))"
    assert page.js(f"({loaded})().every(i => i.naturalWidth >= 300)")
    page.shot("templates")
    card.click()
    page.page.wait_for_timeout(2000)
    assert "ManyView_Reconstruct" in page.types()


def test_page_makes_of_every_template_what_the_server_runs(page: Page, maker: dict) -> None:
    for name, expected in maker["prompts"]().items():
        page.open(name)
        found = {number: {key: node[key] for key in ("class_type", "inputs")} for number, node in page.prompt().items()}
        assert found == {
            number: {key: node[key] for key in ("class_type", "inputs")} for number, node in expected.items()
        }


@pytest.mark.parametrize("vue", RENDERERS)
def test_runs_by_the_button(page: Page, vue: bool) -> None:
    page.setting("Comfy.VueNodes.Enabled", vue)
    page.open("1 Quick Start")
    views = 10 + vue  # so that nothing comes from the cache: what does is shown by output nodes alone
    page.js(
        "(n) => { const w = app.graph.nodes.flatMap(n => n.widgets ?? []).find(w => w.name == 'limit'); w.value = n }",
        views,
    )
    page.run()
    page.fit()
    page.shot(f"quick_start_{'vue' if vue else 'classic'}")
    shown = page.js("() => [...document.querySelectorAll('pre')].map(e => e.textContent).join('\\n')")
    assert f"{views} frames of 224 x 168 pixels" in shown and "points" in shown and "files in" in shown
    assert page.colourful("iframe[title='Point cloud and cameras']") > 0.1
    values = page.js("() => app.graph.serialize().nodes.find(n => n.type == 'ManyView_PointCloud').widgets_values")
    assert values[0] == 20 and len(values) == 12  # what we show on a node is not saved with it


@pytest.mark.parametrize("vue", RENDERERS)
def test_click_on_a_view_chooses_the_patch(page: Page, vue: bool) -> None:
    page.setting("Comfy.VueNodes.Enabled", vue)
    page.open("2 Dense against Sparse")
    page.run()
    page.js(
        "() => { const n = app.graph.nodes.find(n => n.type == 'ManyView_SparsityReport');"
        "app.canvas.ds.scale = 1; app.canvas.ds.offset = [60 - n.pos[0], 80 - n.pos[1]]; app.canvas.draw(true, true) }"
    )
    page.page.wait_for_timeout(1000)
    picture = page.page.locator("img[alt='View 1']:visible").first
    picture.wait_for()
    box = picture.bounding_box()
    page.page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.6 * box["height"])
    page.page.wait_for_timeout(500)
    page.shot(f"picker_{'vue' if vue else 'classic'}")
    report = next(n for n in page.prompt().values() if n["class_type"] == "ManyView_SparsityReport")
    assert report["inputs"]["frame"] == 1
    assert report["inputs"]["x"] == pytest.approx(0.25, abs=0.02) and report["inputs"]["y"] == pytest.approx(
        0.6, abs=0.02
    )


def test_help_panel(page: Page) -> None:
    page.open("1 Quick Start")
    page.fit()
    page.js("() => app.canvas.selectNode(app.graph.nodes.find(n => n.type == 'ManyView_Reconstruct'))")
    page.page.get_by_test_id("info-button").first.click()
    page.page.wait_for_timeout(2000)
    page.shot("help")
    page.page.locator("h1", has_text="Sparse VGGT Inference").wait_for()
    page.errors[:] = [error for error in page.errors if "/docs/ManyView_Reconstruct/en.md" not in error]  # asked first
    assert page.js("() => [...document.querySelectorAll('img[src*=\"docs/images\"]')].every(i => i.naturalWidth > 100)")


def test_dropped_glb_brings_its_graph_back(page: Page, comfyui) -> None:
    page.open("1 Quick Start")
    page.run()
    before = page.types()
    file = max((comfyui.output / "manyview").glob("scene_*/scene.glb"))
    page.js("() => app.graph.clear()")
    page.js(
        "async (b) => { const u = Uint8Array.from(atob(b), c => c.charCodeAt(0));"
        "await app.handleFile(new File([u], 'scene.glb', {type: 'model/gltf-binary'})) }",
        base64.b64encode(file.read_bytes()).decode(),
    )
    page.page.wait_for_timeout(1500)
    assert sorted(page.types()) == sorted(before)


def test_missing_model_is_offered(page: Page) -> None:
    page.open("6 VGGT-1B")
    page.page.get_by_text("vggt-1b.safetensors is missing").first.wait_for()
    page.page.get_by_text("View details").first.click()
    page.page.wait_for_timeout(1500)
    page.shot("missing_model")


def test_blueprint_runs_as_one_node(page: Page) -> None:
    page.js("() => app.graph.clear()")
    page.page.mouse.dblclick(800, 500)
    page.page.wait_for_timeout(1000)
    page.page.keyboard.type("Photos to Point Cloud")
    page.page.wait_for_timeout(1500)
    page.page.keyboard.press("Enter")
    page.page.wait_for_timeout(1000)
    page.page.mouse.click(900, 400)
    page.page.wait_for_timeout(1000)
    page.js(
        "() => { const n = app.graph.nodes[0];"
        "const make = t => { const m = LiteGraph.createNode(t); app.graph.add(m); return m };"
        "const l = make('ManyView_LoadImages'), p = make('ManyView_Preview');"
        "l.connect(0, n, n.inputs.findIndex(i => i.name == 'images')); n.connect(0, p, 0); n.connect(1, p, 1) }"
    )
    classes = {node["class_type"] for node in page.prompt().values()}
    assert classes == {
        f"ManyView_{name}" for name in ("LoadImages", "LoadModel", "Sparsity", "Reconstruct", "PointCloud", "Preview")
    }
    page.run()
    assert (
        page.js("async () => Object.values(await (await fetch('/history')).json()).at(-1).status.status_str")
        == "success"
    )
