"""Writing: what is written means what was meant, and looks tidy."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings

from manyview.workflows.api_form import write_api_form
from manyview.workflows.check import check
from manyview.workflows.definitions import Kinds, kinds
from manyview.workflows.editor_writer import VERSION, Box, Page, columns, write_editor_form
from manyview.workflows.graph import Graph, Link, Node
from manyview.workflows.reading import graph_of, parse

_spec = importlib.util.spec_from_file_location("manyview_tests_graphs", Path(__file__).with_name("graphs.py"))
_graphs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_graphs)
KNOWN = kinds()


@settings(deadline=None, max_examples=150)
@given(_graphs.graphs(KNOWN))
def test_round_trips_lose_nothing(graph: Graph) -> None:
    for form in (write_editor_form(graph, KNOWN), write_api_form(graph)):
        again = check(graph_of(parse(json.dumps(form)), KNOWN), KNOWN)
        assert {number: (node.class_type, node.inputs) for number, node in again.items()} == {
            number: (node.class_type, node.inputs) for number, node in graph.items()
        }
        for number, node in graph.items():
            assert again[number].title == node.title


@settings(deadline=None, max_examples=50)
@given(_graphs.graphs(KNOWN))
def test_nodes_do_not_lie_on_each_other(graph: Graph) -> None:
    boxes = list(columns(graph, KNOWN).values())
    for index, one in enumerate(boxes):
        for other in boxes[index + 1 :]:
            apart_across = one.left + one.width <= other.left or other.left + other.width <= one.left
            apart_down = one.top + one.height + 30 <= other.top or other.top + other.height + 30 <= one.top
            assert apart_across or apart_down
    for number, node in graph.items():
        for link in node.links.values():
            assert columns(graph, KNOWN)[link.node].left < columns(graph, KNOWN)[number].left


@pytest.fixture
def checked(graph: Graph, known: Kinds) -> Graph:
    return check({**graph, "1": Node("ManyView_LoadModel", {"model": "mini"}), "2": plain(graph["2"])}, known)


def plain(node: Node) -> Node:
    return Node(node.class_type, {**node.inputs, "source": "sample scene of ManyView"})


def test_slots_and_links_name_each_other(checked: Graph, known: Kinds) -> None:
    document = write_editor_form(checked, known)
    nodes = {node["id"]: node for node in document["nodes"]}
    assert len(document["links"]) == sum(len(node.links) for node in checked.values())
    for number, origin, slot, target, place, kind in document["links"]:
        assert number in nodes[origin]["outputs"][slot]["links"] and nodes[origin]["outputs"][slot]["type"] == kind
        assert nodes[target]["inputs"][place]["link"] == number
    assert document["last_link_id"] == len(document["links"]) and document["last_node_id"] == 7


def test_missing_nodes_can_be_found(checked: Graph, known: Kinds, root: Path) -> None:
    graph = {**checked, "8": Node("PreviewImage", {"images": Link("4", 1)}, "Depth", {"mine": [1]})}
    written = {node["id"]: node for node in write_editor_form(graph, known)["nodes"]}
    assert written[4]["properties"] == {
        "Node name for S&R": "ManyView_Reconstruct",
        "cnr_id": "manyview",
        "ver": VERSION,
    }
    assert written[8]["properties"]["cnr_id"] == "comfy-core" and written[8]["properties"]["mine"] == [1]
    assert written[8]["title"] == "Depth" and "title" not in written[4]
    project = (root / "pyproject.toml").read_text()
    assert re.search(r'^version = "(.+)"', project, re.MULTILINE)[1] == VERSION
    again = graph_of(write_editor_form(graph, known), known)
    assert again["8"].properties["mine"] == [1]


def test_a_page_has_places_notes_and_groups(checked: Graph, known: Kinds) -> None:
    page = Page({"4": Box(1, 2, 300, 400)}, [(Box(0, -200, 300, 100), "## Hello")], [(Box(0, 0, 9, 9), "All", "#333")])
    document = write_editor_form(checked, known, page)
    assert document["nodes"][3]["pos"] == [1, 2] and document["nodes"][3]["size"] == [300, 400]
    assert document["nodes"][-1]["type"] == "MarkdownNote" and document["nodes"][-1]["id"] == 8
    assert document["groups"][0]["title"] == "All" and document["last_node_id"] == 8
    assert list(graph_of(document, known)) == list(checked)


def test_ids_of_subgraphs_become_new_numbers(known: Kinds) -> None:
    graph = {"7:1": Node("PrimitiveInt", {"value": 3}), "2": Node("PreviewAny", {"source": Link("7:1", 0)})}
    assert [node["id"] for node in write_editor_form(graph, known)["nodes"]] == [1, 2]
    twice = {"1": graph["7:1"], "01": Node("PreviewAny", {"source": Link("1", 0)})}
    assert [node["id"] for node in write_editor_form(twice, known)["nodes"]] == [1, 2]


def test_an_empty_graph(known: Kinds) -> None:
    assert write_editor_form({}, known)["nodes"] == []


def test_a_growing_input_has_a_free_place(known: Kinds) -> None:
    load = Node("LoadImage", {"image": "a.png"})
    names = [f"images.image{n}" for n in range(50)]
    for count in (1, 3, 50):
        batch = Node("BatchImagesNode", {name: Link("1", 0) for name in names[:count]})
        slots = write_editor_form({"1": load, "2": batch}, known)["nodes"][1]["inputs"]
        assert [slot["name"] for slot in slots] == names[: count + 1]
