"""Settings become graphs that run in ComfyUI, and come back without loss."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyview.demo import graphs
from manyview.demo import settings as names
from manyview.demo.settings import Settings, defaults, known
from manyview.nodes.parameters import EXPORT_FORMATS
from manyview.workflows.check import check
from manyview.workflows.editor_writer import write_editor_form
from manyview.workflows.graph import Graph, Link, Node
from manyview.workflows.problem import WorkflowError
from manyview.workflows.reading import graph_of, parse

_PATH = Path(__file__).resolve().parents[1] / "workflows" / "graphs.py"
_spec = importlib.util.spec_from_file_location("manyview_tests_graphs", _PATH)
_graphs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_graphs)
VIEWS = st.fixed_dictionaries(
    {},
    optional={"worldSize": st.floats(0.1, 8), "background": st.sampled_from(["dark", "white"]), "grid": st.booleans()},
)


@st.composite
def widgets(draw: st.DrawFn, class_type: str, **fixed: Any) -> dict[str, Any]:
    """Values of all widgets of a node, in their ranges."""
    values: dict[str, Any] = dict(fixed)
    for _ in range(2):
        for each in list(known()[class_type].present(values)):
            if each.is_widget and each.name not in values:
                values[each.name] = draw(_graphs.widget_values(each))
    return defaults(class_type, values)


@st.composite
def all_settings(draw: st.DrawFn) -> Settings:
    """Anything that the controls can be set to."""
    inference = {name: value for name, value in draw(widgets(names.RECONSTRUCT)).items() if name in names.INFERENCE}
    files = {
        "cameras": draw(st.booleans()),
        "colmap_text": draw(st.booleans()),
        "colmap_points": draw(st.integers(1, 10**9)),
        "depth_format": draw(st.sampled_from(["png", "exr", "npy"])),
    }
    return Settings(
        model=draw(widgets(names.MODEL)),
        images=draw(widgets(names.IMAGES)),
        sparsity=draw(widgets(names.SPARSITY)),
        inference=inference,
        points=draw(widgets(names.POINTS)),
        scale=draw(st.none() | widgets(names.SCALE)),
        against=draw(st.none() | widgets(names.SPARSITY)),
        formats=tuple(name for name in EXPORT_FORMATS if draw(st.booleans())),
        files=files,
        view=draw(VIEWS),
    )


def comparable(one: Settings) -> Settings:
    """How files are written is lost for files that are not written."""
    start = names.file_values()
    needs = {"cameras": graphs.POINT_FILES, "colmap_text": ("colmap",), "colmap_points": ("colmap",)}
    needs["depth_format"] = ("depth",)
    files = {name: value if set(needs[name]) & set(one.formats) else start[name] for name, value in one.files.items()}
    return replace(one, files=files)


@settings(deadline=None, max_examples=150)
@given(all_settings())
def test_a_round_trip_loses_nothing(one: Settings) -> None:
    graph = check(graphs.build(one), known())
    document = json.loads(json.dumps(write_editor_form(graph, known(), graphs.page(graph))))
    again, notes = graphs.read(check(graph_of(document, known()), known()))
    assert again == comparable(one) and notes == []


def test_the_start_is_what_comfyui_starts_with(root: Path) -> None:
    start = Settings()
    assert start.images["source"] == "sample scene of ManyView" and start.sparsity["method"] == "quality"
    document = json.loads(next((root / "example_workflows").glob("1*.json")).read_text())
    example, notes = graphs.read(check(graph_of(document, known()), known()))
    assert notes == []
    points = {**start.points, "confidence_percentile": 20.0}
    assert example == replace(start, points=points)


def test_every_example_gives_settings_and_says_what_is_lost(root: Path) -> None:
    found = {}
    for path in sorted((root / "example_workflows").glob("*.json")):
        graph = graph_of(parse(path.read_bytes()), known())
        graph = {number: with_model(node) for number, node in graph.items()}
        try:
            found[path.stem[0]] = graphs.read(check(graph, known()))
        except WorkflowError as error:
            found[path.stem[0]] = str(error)
    assert found["3"][0].formats == ("colmap",) and found["3"][0].images["limit"] == 16 and found["3"][1] == []
    assert "does not get its images from Load Images" in found["4"] or found["4"][1]
    assert found["5"][0].inference["frame_chunk"] == 2 and "Report" in found["5"][1][0]


def with_model(node: Node) -> Node:
    """A model that is here."""
    return replace(node, inputs={**node.inputs, "model": "mini"}) if node.class_type == names.MODEL else node


def test_what_has_no_control_is_told() -> None:
    graph = graphs.build(Settings())
    graph["4"] = Node(names.RECONSTRUCT, {**graph["4"].inputs, "limit": 5})
    graph["8"] = Node(names.EXPORT, {**graph["8"].inputs, "filename_prefix": "mine"})
    graph["20"] = Node("PrimitiveInt", {"value": 500})
    graph["6"] = Node(names.POINTS, {**graph["6"].inputs, "max_points": Link("20", 0)})
    graph["21"] = Node("ManyView_Cameras", {"scene": Link("4", 0)})
    settings, notes = graphs.read(check(graph, known()))
    assert settings.points["max_points"] == 1_000_000
    text = "\n".join(notes)
    for words in ("limit", "filename_prefix", "max_points is connected", "Node 21 (Cameras)", "Node 20"):
        assert words in text


def test_no_sparsity_is_dense() -> None:
    graph = graphs.build(Settings())
    inputs = {name: value for name, value in graph["4"].inputs.items() if name != "sparsity"}
    graph = {**graph, "4": Node(names.RECONSTRUCT, inputs)}
    del graph["3"]
    assert graphs.read(check(graph, known()))[0].sparsity == {"method": "dense"}


def test_graphs_without_a_scene_have_no_settings() -> None:
    only: Graph = {"1": Node("PrimitiveInt", {"value": 3}), "2": Node("PreviewAny", {"source": Link("1", 0)})}
    with pytest.raises(WorkflowError, match="no Sparse VGGT Inference node"):
        graphs.read(check(only, known()))
    graph = graphs.build(Settings())
    load = Node("LoadImage", {"image": "a.png"})
    graph = {**graph, "20": load, "4": Node(names.RECONSTRUCT, {**graph["4"].inputs, "images": Link("20", 0)})}
    with pytest.raises(WorkflowError, match="does not get its images from Load Images"):
        graphs.read(check(graph, known()))


def test_nodes_do_not_lie_on_each_other() -> None:
    everything = Settings(
        formats=tuple(EXPORT_FORMATS), scale={"measured": 1.0, "meters": 2.0}, against=defaults(names.SPARSITY)
    )
    graph = check(graphs.build(everything), known())
    assert set(graph) == set(graphs.BOXES)
    boxes = [*graphs.page(graph).boxes.values(), graphs.NOTE[0]]
    for place, one in enumerate(boxes):
        for other in boxes[place + 1 :]:
            beside = one.left + one.width <= other.left or other.left + other.width <= one.left
            below = one.top + one.height + 30 <= other.top or other.top + other.height + 30 <= one.top
            assert beside or below, (one, other)
    assert graphs.page(graph).groups and not graphs.page(graphs.build(Settings())).groups


def test_unknown_formats() -> None:
    with pytest.raises(ValueError, match="Files can be ply, glb"):
        Settings(formats=("obj",))
