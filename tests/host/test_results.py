"""What is on the nodes in ComfyUI's page stays there: undo, tabs, F5, cached runs; and what else is done with it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from manyview.nodes.graph.host import sources_in

VIEWER = "iframe[title='Point cloud and cameras']"
QUERIES = {
    "3d reconstruction": "ManyView_Reconstruct",
    "3d scan": "ManyView_Reconstruct",
    "images to 3d": "ManyView_Reconstruct",
    "video to 3d": "ManyView_Reconstruct",
    "pi3": "ManyView_Reconstruct",
    "ply": "ManyView_ExportPointCloud",
    "point cloud": "ManyView_PointCloud",
    "camera pose": "ManyView_Cameras",
}
# The page puts nodes of core that are used more before a match of search words; among ours these come first.
OF_OURS = {
    "slam": "ManyView_Reconstruct",
    "dust3r": "ManyView_Reconstruct",
    "gaussian splat": "ManyView_ExportCOLMAP",
    "colmap": "ManyView_ExportCOLMAP",
}
SEND = (
    "([name, about]) => document.querySelector('iframe').contentWindow.postMessage("
    "{manyview: name, ...about}, location.origin)"
)
LOADER = "app.graph.nodes.find(n => n.type == 'ManyView_LoadImages').widgets"
STORE = "document.querySelector('#vue-app').__vue_app__.config.globalProperties.$pinia._s.get('nodeDef')"


class Page:
    """ComfyUI's page with a small graph of ours."""

    def __init__(self, page: Any, workflow: dict) -> None:
        self.page, self.workflow, self.asked = page, workflow, []
        page.on("request", lambda request: self.asked.append(request.url))

    def js(self, code: str, value: Any = None) -> Any:
        return self.page.evaluate(code, value)

    def open(self) -> None:
        self.js("async (w) => { await app.loadGraphData(w) }", self.workflow)
        self.page.wait_for_timeout(1000)

    def command(self, name: str) -> None:
        self.js("(name) => app.extensionManager.command.execute(name)", name)
        self.page.wait_for_timeout(1500)

    def press(self, keys: str) -> None:
        self.page.keyboard.press(keys)
        self.page.wait_for_timeout(1500)

    def start(self) -> None:
        self.page.get_by_test_id("queue-button").click()
        self.page.wait_for_timeout(1000)

    def finish(self) -> None:
        self.page.wait_for_function(
            "async () => { const q = await (await fetch('/queue')).json();"
            "return !q.queue_running.length && !q.queue_pending.length }",
            polling=500,
        )
        self.page.wait_for_timeout(1500)

    def set(self, kind: str, name: str, value: Any) -> None:
        code = "([k, n, v]) => { app.graph.nodes.find(e => e.type == k).widgets.find(w => w.name == n).value = v }"
        self.js(code, [kind, name, value])

    @property
    def texts(self) -> str:
        return "\n".join(self.js("() => [...document.querySelectorAll('pre')].map(e => e.textContent)"))

    def wait_for_result(self, views: int) -> None:
        """Texts of every node, and the cloud in the viewer."""
        self.page.wait_for_function(
            "(n) => { const t = [...document.querySelectorAll('pre')].map(e => e.textContent);"
            "return t.some(e => e.startsWith(`${n} views`)) &&"
            "['frames of', ' points', 'files in output/'].every(w => t.some(e => e.includes(w))) }",
            arg=views,
        )
        self.page.locator(VIEWER).wait_for()
        self.page.frame_locator(VIEWER).get_by_text(re.compile(r"^[\d,]+ points$")).first.wait_for()


@pytest.fixture
def page(open_page: Any, comfyui: Any, graph: Any) -> Iterator[Page]:
    """The page with the Quick Start on three small photos and tiny weights."""
    root = Path(__file__).resolve().parents[2]
    workflow = json.loads((root / "example_workflows" / "1 Quick Start.json").read_text(encoding="utf-8"))
    for node in workflow["nodes"]:
        if node["type"] == "ManyView_LoadModel":
            node["widgets_values"][0] = "tiny.safetensors"
        if node["type"] == "ManyView_LoadImages":
            node["widgets_values"][:3] = ["photos", "keep", 112]
    found = Page(open_page(1700, 1050), workflow)
    found.open()
    yield found
    found.page.context.close()


def test_results_survive_undo_tabs_and_f5(page: Page) -> None:
    assert page.js("() => document.querySelector('.manyview-empty').textContent") == "Run the workflow"
    page.start()
    page.finish()
    page.wait_for_result(3)
    page.js("() => app.canvas.selectNode(app.graph.nodes.find(n => n.type == 'ManyView_Sparsity'))")
    page.press("Delete")
    assert page.js("() => app.graph.nodes.length") == 7
    page.press("Control+z")
    assert page.js("() => app.graph.nodes.length") == 8
    page.wait_for_result(3)
    page.command("Comfy.NewBlankWorkflow")
    assert "views" not in page.texts
    page.command("Workspace.PreviousOpenedWorkflow")
    page.wait_for_result(3)
    page.set("ManyView_LoadImages", "limit", 2)  # a run that ends while another tab is open
    page.start()
    page.command("Workspace.NextOpenedWorkflow")
    page.finish()
    page.command("Workspace.PreviousOpenedWorkflow")
    page.wait_for_result(2)
    page.page.wait_for_timeout(2000)
    page.asked.clear()
    page.page.reload()
    page.page.wait_for_function("window.app?.extensionManager?.command?.commands?.length > 10")
    page.wait_for_result(2)
    ours = [url for url in page.asked if "My-Pack_2" in url or "manyview" in url.lower()]
    assert len(ours) <= 41, ours
    page.start()
    page.finish()
    page.wait_for_result(2)


def test_viewer_does_not_lie_over_the_canvas_and_keeps_saved_sizes(page: Page) -> None:
    node = "app.graph.nodes.find(n => n.type == 'ManyView_Preview')"
    page.js(f"() => {{ {node}.setSize([500, 333]) }}")
    workflow = page.js("() => app.graph.serialize()")
    page.js("async (w) => { await app.loadGraphData(w) }", workflow)
    page.page.wait_for_timeout(1500)
    assert page.js(f"() => [...{node}.size]") == [500, 333]
    box = page.js(
        f"() => {{ const n = {node}, d = app.canvas.ds, c = app.canvas.canvas.getBoundingClientRect(),"
        "b = document.querySelector('.manyview-viewer').getBoundingClientRect();"
        "const at = (v, i) => (v + d.offset[i]) * d.scale + [c.left, c.top][i];"
        "return [b.left - at(n.pos[0], 0), b.top - at(n.pos[1], 1), at(n.pos[0] + n.size[0], 0) - b.right,"
        "at(n.pos[1] + n.size[1], 1) - b.bottom] }"
    )
    assert all(side > -2 for side in box), box
    page.js(f"() => app.canvas.selectNode({node})")
    page.press("Control+c")
    page.press("Control+v")
    sizes = "() => app.graph.nodes.filter(n => n.type == 'ManyView_Preview').map(n => [...n.size])"
    assert page.js(sizes) == [[500, 333], [500, 333]]


def test_shortcuts_and_settings_of_the_viewer_reach_the_graph(page: Page, comfyui: Any) -> None:
    page.start()
    page.finish()
    page.wait_for_result(3)
    page.js(
        "() => { const n = app.graph.nodes.find(n => n.type == 'ManyView_Preview'); app.canvas.ds.scale = 1;"
        "app.canvas.ds.offset = [80 - n.pos[0], 110 - n.pos[1]]; app.canvas.setDirty(true, true) }"
    )
    page.page.wait_for_timeout(2000)
    runs = len(comfyui.get("/history"))
    page.page.frame_locator(VIEWER).locator("canvas").first.click()
    page.press("Control+Enter")
    page.finish()
    assert len(comfyui.get("/history")) == runs + 1
    options = {"confidenceBy": "rank", "confidenceRank": 40, "frames": [0, 2], "clip": [[0, 1], [0, 0.9], [0, 1]]}
    page.js(SEND, ["options", {"options": options}])
    page.js(SEND, ["scale", {"metersPerUnit": 2.5}])
    page.page.wait_for_timeout(1000)
    page.page.get_by_role("button", name="Apply the viewer's settings").click()
    page.page.wait_for_timeout(1000)
    prompt = page.js("async () => (await app.graphToPrompt()).output")
    nodes = {node["class_type"]: (number, node["inputs"]) for number, node in prompt.items()}
    number, scale = nodes["ManyView_SetScale"]
    assert scale["meters"] / scale["measured"] == pytest.approx(2.5)
    cloud = nodes["ManyView_PointCloud"][1]
    assert cloud["frames"] == "0,2" and 0 < cloud["confidence_threshold"] < 1 and len(cloud["clip_box"].split()) == 5
    for kind in ("PointCloud", "Preview", "ExportPointCloud"):
        assert nodes[f"ManyView_{kind}"][1]["scene"] == [number, 0]
    page.start()
    page.finish()
    assert "2.5 m" in page.texts


def test_photos_are_uploaded_and_chosen(page: Page, comfyui: Any, base: Path) -> None:
    files = sorted((base / "input" / "photos").iterdir())
    with page.page.expect_file_chooser() as chooser:
        page.js(f"() => {{ {LOADER}.find(w => w.name == 'upload').callback() }}")
    chooser.value.set_files(files)
    page.page.wait_for_function(f"() => {LOADER}[0].value.startsWith('photos_2')")
    source = page.js(f"() => {LOADER}[0].value")
    assert source in sources_in(base / "input")
    assert [path.name for path in sorted((base / "input" / source).iterdir())] == [path.name for path in files]
    page.start()
    page.finish()
    page.wait_for_result(len(files))


def test_search_leads_to_the_node_that_is_meant(page: Page) -> None:
    found = f"(q) => {STORE}.nodeSearchService.searchNode(q).map(n => n.name)"
    for query, wanted in QUERIES.items():
        first = page.js(found, query)[0]
        assert first == wanted, (query, first)
    for query, wanted in OF_OURS.items():
        assert next(name for name in page.js(found, query) if name.startswith("ManyView_")) == wanted


def test_templates_are_in_the_order_of_their_numbers(page: Page) -> None:
    page.page.get_by_text("Templates", exact=True).first.click()
    page.page.get_by_text("My-Pack_2", exact=True).last.click()
    page.page.locator("[data-testid='template-workflow-1 Quick Start']").wait_for()
    shown = page.js(
        "() => [...document.querySelectorAll('[data-testid^=template-workflow-]')].map(e => e.dataset.testid)"
    )
    assert shown == sorted(shown) and len(shown) == 6
