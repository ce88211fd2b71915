"""Demo, workflow, ComfyUI's page and server, workflow, demo: nothing is lost on the way."""

import json
import os
from typing import Any

import pytest

from manyview.demo import graphs
from manyview.demo.settings import IMAGES, POINTS, SPARSITY, Settings, defaults
from manyview.nodes.parameters import EXPORT_FORMATS
from manyview.workflows.check import check
from manyview.workflows.definitions import kinds
from manyview.workflows.editor_writer import write_editor_form
from manyview.workflows.reading import graph_of, read_file

SAMPLE = "sample scene of ManyView"
SMALL = defaults(IMAGES, {"source": SAMPLE, "resolution": 112, "limit": 3, "selection": "even"})
CUSTOM = {"method": "custom", "method.rho": 0.25, "method.tau": 0.85, "method.dense_layers": "0,1"}
EVERYTHING = Settings(
    images=SMALL,
    sparsity=defaults(SPARSITY, {**CUSTOM, "method.min_tokens": 1}),
    points=defaults(POINTS, {"confidence_percentile": 35.0, "frames": "0,2", "max_points": 4321}),
    scale={"measured": 0.75, "meters": 2.5},
    against=defaults(SPARSITY, {"method": "dense"}),
    formats=tuple(EXPORT_FORMATS),
    files={"cameras": False, "colmap_text": True, "colmap_points": 777, "depth_format": "npy"},
    view={"size": 3, "color": "frame"},
)


@pytest.fixture
def page(open_page: Any) -> Any:
    """ComfyUI's page."""
    return open_page(2000, 1400)


def document_of(settings: Settings) -> dict[str, Any]:
    """What the demo saves."""
    graph = check(graphs.build(settings), kinds())
    return json.loads(json.dumps(write_editor_form(graph, kinds(), graphs.page(graph))))


def settings_of(document: Any) -> tuple[Settings, list[str]]:
    """What the demo makes of a file."""
    return graphs.read(check(graph_of(document, kinds()), kinds()))


@pytest.mark.parametrize("settings", [Settings(), Settings(images=SMALL), EVERYTHING], ids=["start", "few", "all"])
def test_round_trip(page: Any, comfyui: Any, saves: dict[str, str], settings: Settings) -> None:
    page.evaluate("async (w) => { await app.loadGraphData(w) }", document_of(settings))
    page.wait_for_timeout(1500)
    if folder := os.environ.get("MANYVIEW_SCREENSHOTS"):
        page.evaluate("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        page.wait_for_timeout(1500)
        page.screenshot(path=f"{folder}/demo_in_comfyui_{len(settings.formats)}.png")
    for schema, save in saves.items():
        saved = page.evaluate(save)
        assert str(saved["version"]) == schema
        assert settings_of(saved) == (settings, []), schema
    if settings == Settings():
        return
    prompt = page.evaluate("async () => JSON.parse(JSON.stringify((await app.graphToPrompt()).output))")
    body = {"prompt": prompt, "extra_data": {"extra_pnginfo": {"workflow": saved}}}
    answer = comfyui.post("/prompt", body)
    assert answer.get("prompt_id") and not answer.get("node_errors"), answer
    run = comfyui.wait(answer["prompt_id"])
    assert run.status == "success"
    written = [path for path in comfyui.output.rglob("*.glb") if settings.formats]
    newest = max(written, key=lambda path: path.stat().st_mtime)
    assert settings_of(read_file(newest)) == (settings, []), "and the GLB that ComfyUI wrote carries all of it"
