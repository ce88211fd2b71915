"""The editor's form: what ComfyUI's page saved (by tests/host/test_editor_form.py), and oddities made by hand."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from manyview.workflows import limits
from manyview.workflows.api_form import write_api_form
from manyview.workflows.definitions import Kinds
from manyview.workflows.problem import WorkflowError
from manyview.workflows.reading import graph_of

SAVED = json.loads((Path(__file__).parent / "saved_by_editor.json").read_text(encoding="utf-8"))


def plain(graph: dict) -> dict:
    """Classes and inputs, without the state of viewports, which a page makes up as it goes."""
    found = {number: {key: each[key] for key in ("class_type", "inputs")} for number, each in graph.items()}
    for each in found.values():
        each["inputs"] = {name: value for name, value in each["inputs"].items() if name != "viewport_state"}
    return found


@pytest.mark.parametrize("name", SAVED)
def test_a_file_means_what_the_page_sends(name: str, known: Kinds) -> None:
    assert plain(write_api_form(graph_of(SAVED[name]["workflow"], known))) == SAVED[name]["output"]


@pytest.mark.parametrize("name", SAVED)
def test_positions_and_names_of_widgets_agree(name: str, known: Kinds) -> None:
    document = copy.deepcopy(SAVED[name]["workflow"])
    pages = [document, *document.get("definitions", {}).get("subgraphs", [])]
    removed = [node.pop("widgets_values_named", None) for page in pages for node in page["nodes"]]
    assert any(removed)
    assert plain(write_api_form(graph_of(document, known))) == SAVED[name]["output"]


def node(number: int, kind: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "type": kind, **more}


def slot(name: str, link: int | None = None, kind: str = "MANYVIEW_SCENE", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "link": link, **more}


def out(kind: str = "MANYVIEW_SCENE") -> dict[str, Any]:
    return {"name": "out", "type": kind}


def read(known: Kinds, *nodes: dict, links: list | None = None, **more: Any) -> dict:
    document = {"nodes": list(nodes), "links": links or [], "version": 0.4, **more}
    return write_api_form(graph_of(document, known))


def test_notes_reroutes_and_silent_nodes_are_no_nodes(known: Kinds) -> None:
    found = read(
        known,
        node(1, "Note"),
        node(2, "MarkdownNote", widgets_values=["text"]),
        node(3, "Reroute", inputs=[slot("", kind="*")]),
        node(4, "PrimitiveNode"),
        node(5, "ManyView_Preview", mode=2),
        node(6, "SomethingElse", mode=4),
    )
    assert found == {}


def test_nodes_we_do_not_know_are_kept_with_their_links(known: Kinds) -> None:
    found = read(
        known,
        node(1, "FromAnotherPack", outputs=[out()], widgets_values=[1, 2]),
        node(2, "ManyView_Preview", inputs=[slot("scene", 9)]),
        links=[[9, 1, 0, 2, 0, "MANYVIEW_SCENE"]],
    )
    assert found["1"] == {"class_type": "FromAnotherPack", "inputs": {}}
    assert found["2"]["inputs"] == {"scene": ["1", 0]}


def test_a_bypassed_node_passes_on_what_fits(known: Kinds) -> None:
    bypassed = node(
        2, "Other", mode=4, inputs=[slot("a", 1, "INT"), slot("b", 2, "MANYVIEW_SCENE")], outputs=[out(), out("*")]
    )
    sources = (node(1, "Numbers", outputs=[out("INT"), out()]),)
    links = [[1, 1, 0, 2, 0, "INT"], [2, 1, 1, 2, 1, "MANYVIEW_SCENE"], [3, 2, 0, 3, 0, "MANYVIEW_SCENE"]]
    target = node(3, "ManyView_Preview", inputs=[slot("scene", 3)])
    assert read(known, *sources, bypassed, target, links=links)["3"]["inputs"]["scene"] == ["1", 1]
    anything = node(3, "PreviewAny", inputs=[slot("source", 3, "*")])
    assert read(known, *sources, bypassed, anything, links=links)["3"]["inputs"]["source"] == ["1", 0]
    nothing = {**bypassed, "inputs": [slot("a", 1, "INT")]}
    assert read(known, *sources, nothing, target, links=links)["3"]["inputs"] == {}


def test_links_of_both_schemas(known: Kinds) -> None:
    nodes = (node(1, "Other", outputs=[out()]), node(2, "ManyView_Preview", inputs=[slot("scene", 5)]))
    link = {"id": 5, "origin_id": 1, "origin_slot": 0, "target_id": 2, "target_slot": 0, "type": "X"}
    assert read(known, *nodes, links=[link]) == read(known, *nodes, links=[[5, 1, 0, 2, 0, "X"]])


def test_widgets_that_are_missing_keep_their_defaults(known: Kinds) -> None:
    assert read(known, node(1, "ManyView_LoadModel", widgets_values=["pi3"]))["1"]["inputs"] == {"model": "pi3"}
    assert read(known, node(1, "ManyView_LoadModel"))["1"]["inputs"] == {}
    named = node(1, "ManyView_LoadModel", widgets_values={"precision": "float16", "odd": 3})
    assert read(known, named)["1"]["inputs"] == {"precision": "float16"}


def subgraph(number: str, *nodes: dict, links: list, inputs: list | None = None, outputs: list | None = None) -> dict:
    return {"id": number, "nodes": list(nodes), "links": links, "inputs": inputs or [], "outputs": outputs or []}


def host_node(number: int, kind: str, **more: Any) -> dict[str, Any]:
    return node(number, kind, **{"inputs": [], "outputs": [out()], **more})


PROMOTED = subgraph(
    "sub",
    node(
        5, "ManyView_LoadModel", inputs=[slot("model", 1, "COMBO", widget={"name": "model"})], widgets_values=["mini"]
    ),
    links=[{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 5, "target_slot": 0}],
    inputs=[{"name": "which", "type": "COMBO"}],
)
WIDGET = slot("which", kind="COMBO", widget={"name": "which"})


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"inputs": [WIDGET], "widgets_values": ["pi3"]}, "pi3"),
        ({"inputs": [WIDGET], "widgets_values_named": {"which": "vggt-1b"}}, "vggt-1b"),
        ({"inputs": [WIDGET]}, "mini"),
        ({"inputs": []}, "mini"),
        ({"inputs": [WIDGET], "properties": {"proxyWidgets": [["-1", "which"]]}, "widgets_values": ["pi3"]}, "pi3"),
        ({"inputs": [], "properties": {"proxyWidgets": [["5", "model"]]}, "widgets_values": ["pi3"]}, "pi3"),
        ({"inputs": [], "properties": {"proxyWidgets": [["5", "model"]]}, "widgets_values": [None]}, "mini"),
        ({"inputs": [], "properties": {"proxyWidgets": "odd"}, "widgets_values": ["pi3"]}, "mini"),
    ],
)
def test_widgets_on_a_subgraphs_node(known: Kinds, more: dict, expected: str) -> None:
    found = read(known, host_node(1, "sub", **more), definitions={"subgraphs": [PROMOTED]})
    assert found["1:5"]["inputs"]["model"] == expected


def test_an_output_that_is_an_input_of_the_subgraph(known: Kinds) -> None:
    through = subgraph(
        "sub",
        links=[{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": -20, "target_slot": 0}],
        inputs=[{"name": "in"}],
        outputs=[{"name": "out"}],
    )
    nodes = (
        node(1, "Other", outputs=[out()]),
        host_node(2, "sub", inputs=[slot("in", 1)]),
        node(3, "ManyView_Preview", inputs=[slot("scene", 2)]),
    )
    links = [[1, 1, 0, 2, 0, "X"], [2, 2, 0, 3, 0, "X"]]
    found = read(known, *nodes, links=links, definitions={"subgraphs": [through]})
    assert found["3"]["inputs"]["scene"] == ["1", 0] and list(found) == ["1", "3"]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"nodes": [{"id": 1}]}, "no id or no type"),
        ({"nodes": [node(1, "A"), node(1, "B")]}, "Two nodes of the workflow have the id 1"),
        ({"nodes": [], "links": [[1, 2]]}, r"link of the workflow is broken: \[1, 2\]"),
        ({"nodes": [], "links": [[1, 2, "0", 3, 0]]}, "link of the workflow is broken"),
        ({"nodes": [], "links": [{"id": 1}]}, "link of the workflow is broken"),
        ({"nodes": [], "definitions": {"subgraphs": [{"id": "x"}]}}, "subgraph of the workflow has no id or no nodes"),
        ({"nodes": [node(1, "A", inputs=[slot("x", 7)])]}, r"Node 1 \(A\): the link into x is missing"),
        ({"nodes": [node(1, "A", inputs=[slot("x", "7")])]}, "the link into x is missing"),
        ({"nodes": [node(1, "A", inputs=[slot("x", 1)])], "links": [[1, 9, 0, 1, 0]]}, "comes from a node that is not"),
        ({"nodes": [node(1, "ManyView_LoadModel", widgets_values=3)]}, "widgets_values is no list"),
        (
            {"nodes": [node(1, "Reroute"), node(2, "A", inputs=[slot("x", 1)])], "links": [[1, 1, 0, 2, 0]]},
            r"Node 1 \(Reroute\) has no input 0",
        ),
    ],
)
def test_broken_files_are_one_sentence(known: Kinds, document: dict, words: str) -> None:
    with pytest.raises(WorkflowError, match=words):
        graph_of(document, known)


def test_reroutes_in_a_circle(known: Kinds) -> None:
    nodes = [node(1, "Reroute", inputs=[slot("", 2)]), node(2, "Reroute", inputs=[slot("", 1)])]
    links = [[1, 1, 0, 2, 0], [2, 2, 0, 1, 0], [3, 2, 0, 3, 0]]
    with pytest.raises(WorkflowError, match="round in a circle"):
        read(known, *nodes, node(3, "ManyView_Preview", inputs=[slot("scene", 3)]), links=links)


def test_a_long_row_of_reroutes(known: Kinds) -> None:
    count = limits.NODES - 10
    nodes = [node(0, "Other", outputs=[out()])]
    nodes += [node(place, "Reroute", inputs=[slot("", place)]) for place in range(1, count)]
    nodes.append(node(count, "ManyView_Preview", inputs=[slot("scene", count)]))
    links = [[place, place - 1, 0, place, 0] for place in range(1, count + 1)]
    assert read(known, *nodes, links=links)[str(count)]["inputs"]["scene"] == ["0", 0]


def test_subgraphs_that_hold_themselves(known: Kinds) -> None:
    one = subgraph("one", host_node(1, "two"), links=[])
    two = subgraph("two", host_node(1, "one"), links=[])
    with pytest.raises(WorkflowError, match="holds itself"):
        read(known, host_node(1, "one"), definitions={"subgraphs": [one, two]})


def test_subgraphs_that_multiply(known: Kinds) -> None:
    """Ten levels of ten are ten thousand million nodes out of a hundred."""
    levels = [subgraph(f"s{n}", *(host_node(k, f"s{n + 1}") for k in range(10)), links=[]) for n in range(10)]
    levels.append(subgraph("s10", node(1, "ManyView_LoadModel"), links=[]))
    with pytest.raises(WorkflowError, match="more than 2,000 nodes"):
        read(known, host_node(1, "s0"), definitions={"subgraphs": levels})
    row = [subgraph(f"s{n}", host_node(1, f"s{n + 1}"), links=[]) for n in range(30)]
    with pytest.raises(WorkflowError, match="16 subgraphs deep"):
        read(known, host_node(1, "s0"), definitions={"subgraphs": [*row, subgraph("s30", links=[])]})


def test_subgraph_slots_that_are_not_there(known: Kinds) -> None:
    inner = node(5, "ManyView_Preview", inputs=[slot("scene", 1)])
    wrong = {"id": 1, "origin_id": -10, "origin_slot": 3, "target_id": 5, "target_slot": 0}
    with pytest.raises(WorkflowError, match="has no input 3, but its inside uses it"):
        read(known, host_node(1, "sub"), definitions={"subgraphs": [subgraph("sub", inner, links=[wrong])]})
    nodes = (host_node(1, "sub"), node(2, "ManyView_Preview", inputs=[slot("scene", 1)]))
    with pytest.raises(WorkflowError, match="has no output 4, but a link begins there"):
        read(known, *nodes, links=[[1, 1, 4, 2, 0]], definitions={"subgraphs": [subgraph("sub", links=[])]})
