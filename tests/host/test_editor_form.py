"""What ComfyUI's own page makes of graphs, against what workflows/ makes of the files that the page saves.

With MANYVIEW_SAVE=1 the files and the page's own API form are written to tests/workflows/saved_by_editor.json, which
tests without ComfyUI read.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from manyview.workflows.api_form import write_api_form
from manyview.workflows.definitions import kinds
from manyview.workflows.editor_writer import write_editor_form
from manyview.workflows.reading import graph_of

HERE = Path(__file__).resolve().parents[1]
SAVED = HERE / "workflows" / "saved_by_editor.json"
FIND = "const find = (...types) => app.graph.nodes.filter(n => types.includes(n.type));"
MAKE = "const make = (type) => { const n = LiteGraph.createNode(type); app.graph.add(n); return n };"
WRAP = "const wrap = (...nodes) => app.graph.convertToSubgraph(new Set(nodes));"
CASES = {
    "as it is": "",
    "bypassed": "find('ManyView_PointCloud')[0].mode = 4;",
    "muted": "find('ManyView_Sparsity')[0].mode = 2;",
    "reroutes": "const [a, b] = [make('Reroute'), make('Reroute')]; find('ManyView_Reconstruct')[0].connect(0, a, 0);"
    "a.connect(0, b, 0); b.connect(0, find('ManyView_PointCloud')[0], 0);",
    "primitive": "const p = make('PrimitiveNode'), n = find('ManyView_PointCloud')[0];"
    "p.connect(0, n, n.inputs.findIndex(i => i.name == 'max_points')); p.widgets[0].value = 1234;",
    "number node": "const p = make('PrimitiveInt'), n = find('ManyView_PointCloud')[0]; p.widgets[0].value = 77;"
    "p.connect(0, n, n.inputs.findIndex(i => i.name == 'max_points'));",
    "dynamic": "const w = find('ManyView_Sparsity')[0].widgets; w[0].value = 'custom'; w[1].value = 0.25;"
    "w.find(w => w.name == 'method.dense_layers').value = '0,1';",
    "subgraph": "wrap(...find('ManyView_Sparsity', 'ManyView_Reconstruct', 'ManyView_PointCloud'));",
    "nested": "const r = wrap(...find('ManyView_Sparsity', 'ManyView_Reconstruct'));"
    "wrap(r.node, ...find('ManyView_PointCloud'));",
    "bypassed subgraph": "wrap(...find('ManyView_PointCloud')).node.mode = 4;",
    "muted inside": "const r = wrap(...find('ManyView_Sparsity', 'ManyView_Reconstruct'));"
    "r.subgraph.nodes.find(n => n.type == 'ManyView_Sparsity').mode = 2;",
    "lists": "const l = make('LoadImageDataSetFromFolder'); l.widgets[0].value = 'photos';"
    "l.connect(0, find('ManyView_Reconstruct')[0], 1);",
    "core nodes": "const [a, b, v, m] = ['LoadImage', 'LoadImage', 'LoadVideo', 'LoadImageMask'].map(make);"
    "const [c, d, w, s, e, p, q, t] = ['BatchImagesNode', 'ImageBatch', 'GetVideoComponents', 'SaveImage',"
    "'ImageToMask', 'PreviewPointCloud', 'SavePointCloud', 'PreviewAny'].map(make);"
    "a.widgets[0].value = m.widgets[0].value = 'a.png'; b.widgets[0].value = 'b.png'; v.widgets[0].value = 'v.mp4';"
    "a.connect(0, c, 0); b.connect(0, c, 1); c.connect(0, d, 0); v.connect(0, w, 0); w.connect(0, d, 1);"
    "d.connect(0, s, 0); e.widgets[0].value = 'alpha'; d.connect(0, e, 0); const r = find('ManyView_Reconstruct')[0];"
    "r.connect(3, p, 0); r.connect(3, q, 0); r.connect(6, p, p.inputs.findIndex(i => i.name == 'camera_info'));"
    "r.connect(7, t, 0);",
}


@pytest.fixture
def page(open_page: Any) -> Any:
    """ComfyUI's page."""
    return open_page(1700, 1050)


def open_workflow(page: Any, document: dict) -> None:
    page.evaluate("async (w) => { await app.loadGraphData(w) }", document)
    page.wait_for_timeout(500)


def output(page: Any) -> dict:
    return page.evaluate("async () => JSON.parse(JSON.stringify((await app.graphToPrompt()).output))")


def comparable(prompt: dict) -> dict:
    """Without titles, and without the state of viewports, which the page makes up as it goes."""
    found = {number: {key: each[key] for key in ("class_type", "inputs")} for number, each in prompt.items()}
    for each in found.values():
        each["inputs"] = {name: value for name, value in each["inputs"].items() if name != "viewport_state"}
    return found


def appended(class_type: str) -> set[str]:
    """Inputs that a node got after the graphs in tests/workflows were saved; the page gives them their defaults."""
    first = json.loads((HERE / "nodes" / "saved_by_position.json").read_text(encoding="utf-8"))
    if class_type not in first:  # a node of ComfyUI itself
        return set()
    now = json.loads((HERE.parent / "nodes" / "object_info.json").read_text(encoding="utf-8"))[class_type]["input"]
    return {name for part in now.values() for name in part if name not in str(first[class_type])}


def test_graphs_are_what_the_page_sends(page: Any, saves: dict[str, str]) -> None:
    start = json.loads((HERE.parent / "example_workflows" / "1 Quick Start.json").read_text(encoding="utf-8"))
    known, saved = kinds(), {}
    for name, code in CASES.items():
        open_workflow(page, start)
        page.evaluate(f"async () => {{ {FIND} {MAKE} {WRAP} {code} }}")
        page.wait_for_timeout(500)
        expected = comparable(output(page))
        for schema, save in saves.items():
            document = page.evaluate(save)
            assert str(document["version"]) == schema
            assert comparable(write_api_form(graph_of(document, known))) == expected, (name, schema)
            if schema == "0.4" or name in ("nested", "dynamic"):
                saved[f"{name}, schema {schema}"] = {"workflow": document, "output": expected}
    if os.environ.get("MANYVIEW_SAVE"):
        SAVED.write_text(json.dumps(saved, separators=(",", ":")).replace('"nodes":', '\n"nodes":') + "\n")


def test_what_we_write_is_what_the_page_opens(page: Any, saves: dict[str, str]) -> None:
    """Our own editor form of each graph: the page opens it, makes the same graph of it, and saves one we read alike."""
    known = kinds()
    for name, case in json.loads(SAVED.read_text()).items():
        graph = graph_of(case["output"], known)
        open_workflow(page, write_editor_form(graph, known))
        numbers = dict(zip(graph, output(page), strict=True))  # subgraphs were opened, so ids are new
        found = comparable(output(page))
        for number, node in case["output"].items():
            inputs = {
                key: [numbers[value[0]], value[1]] if isinstance(value, list) else value
                for key, value in node["inputs"].items()
            }
            seen = found[numbers[number]]
            assert seen["class_type"] == node["class_type"], name
            assert {key: value for key, value in seen["inputs"].items() if key in inputs} == inputs, name
            assert seen["inputs"].keys() - inputs.keys() <= appended(node["class_type"]), name
        again = graph_of(page.evaluate(saves["0.4"]), known)
        assert comparable(write_api_form(again)) == found, name
