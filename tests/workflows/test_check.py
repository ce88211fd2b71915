"""What is refused before anything runs, in one sentence that names node and field."""

from dataclasses import replace
from typing import Any

import pytest

from manyview.nodes.graph.host import FolderHost
from manyview.workflows.check import check, order
from manyview.workflows.definitions import Kinds, kinds
from manyview.workflows.graph import Graph, Link, Node
from manyview.workflows.problem import WorkflowError


@pytest.fixture
def found(host: FolderHost) -> Kinds:
    """The choices of the host's folders."""
    return kinds(host)


def with_input(graph: Graph, number: str, **inputs: Any) -> Graph:
    named = {name.replace("__", "."): value for name, value in inputs.items()}
    return {**graph, number: replace(graph[number], inputs={**graph[number].inputs, **named})}


def test_defaults_are_filled_in_and_values_made_fit(graph: Graph, found: Kinds) -> None:
    graph = with_input(graph, "5", confidence_percentile="12.5", max_points=5000.0, use_masks="False", no_such_input=3)
    checked = check(graph, found)
    assert checked["5"].inputs["confidence_percentile"] == 12.5
    assert checked["5"].inputs["max_points"] == 5000 and type(checked["5"].inputs["max_points"]) is int
    assert checked["5"].inputs["use_masks"] is False and checked["5"].inputs["reduce"] == "voxel"
    assert "no_such_input" not in checked["5"].inputs
    assert checked["3"].inputs["method.tau"] == 0 and "method.schedule" not in checked["3"].inputs
    assert check(checked, found) == checked


@pytest.mark.parametrize(
    ("number", "inputs", "words"),
    [
        (
            "5",
            {"confidence_percentile": 200},
            r"Node 5 \(Point Cloud\): confidence_percentile is 200, but must be at least 0 and at most 100",
        ),
        ("5", {"confidence_percentile": "much"}, "confidence_percentile is 'much', but must be a number"),
        ("5", {"confidence_percentile": True}, "must be a number"),
        ("5", {"confidence_percentile": float("inf")}, "must be a number"),
        ("5", {"confidence_percentile": "9" * 400}, "must be a number"),
        ("5", {"max_points": 1.5}, "max_points is 1.5, but must be a whole number"),
        ("5", {"max_points": "9" * 300}, "max_points is 999,999,.*but must be at least 1 and at most 1,000,000,000"),
        ("5", {"max_points": 0}, "max_points is 0, but must be at least 1"),
        ("5", {"use_masks": 1}, "use_masks is 1, but must be true or false"),
        ("5", {"frames": 3}, "frames is 3, but must be text"),
        ("5", {"reduce": "some"}, "reduce is 'some', but must be one of voxel, random"),
        ("5", {"reduce": ["voxel"]}, r"reduce is \['voxel'\], but must be text"),
        ("3", {"method": "none"}, "method is 'none', but must be one of quality, dense"),
        ("3", {"method": {"a": 1}}, "must be text"),
        ("3", {"method__rho": 3}, "method.rho is 3, but must be at least 0 and at most 1"),
        ("2", {"source": "elsewhere"}, "source is 'elsewhere', but must be one of sample scene of ManyView, .*photos"),
        ("1", {"model": "../../secret.safetensors"}, "model is '../../secret.safetensors', but must be one of"),
        ("5", {"scene": 3}, "scene must be connected to MANYVIEW_SCENE, got the value 3"),
        ("5", {"scene": None}, r"Node 5 \(Point Cloud\): scene is not connected; connect MANYVIEW_SCENE"),
        ("5", {"scene": Link("1", 0)}, "scene takes MANYVIEW_SCENE, but model of node 1 gives MANYVIEW_MODEL"),
        ("5", {"scene": Link("77", 0)}, "scene is connected to node '77', which is not there"),
        ("5", {"scene": Link("4", 99)}, "scene is connected to output 99 of node 4, which has 8"),
        ("5", {"scene": Link("4", -1)}, "output -1 of node 4"),
        ("5", {"max_points": Link("4", 7)}, "max_points takes INT, but report of node 4 gives STRING"),
    ],
)
def test_faults(graph: Graph, found: Kinds, number: str, inputs: dict, words: str) -> None:
    with pytest.raises(WorkflowError, match=words) as caught:
        check(with_input(graph, number, **inputs), found)
    assert len(caught.value.sentences) == 1 and "\n" not in str(caught.value)


def test_all_faults_are_told_at_once(graph: Graph, found: Kinds) -> None:
    graph = with_input(with_input(graph, "5", max_points=0, reduce="x"), "1", precision="float1")
    with pytest.raises(WorkflowError) as caught:
        check(graph, found)
    assert [sentence.split(":")[0] for sentence in caught.value.sentences] == [
        "Node 1 (Load Model)",
        "Node 5 (Point Cloud)",
        "Node 5 (Point Cloud)",
    ]


def test_unknown_nodes_are_listed(graph: Graph, found: Kinds) -> None:
    graph = {**graph, "8": Node("KSampler"), "9": Node("KSampler"), "10": Node("\x1b[31mOdd\n" + "x" * 100)}
    with pytest.raises(WorkflowError, match="can only run in ComfyUI") as caught:
        check(graph, found)
    text = str(caught.value)
    assert "KSampler (node 8, 9)" in text and "Nothing was run" in text
    assert "\x1b" not in text and "\n" not in text and len(text) < 300


def test_nothing_to_run(found: Kinds) -> None:
    for graph in ({}, {"1": Node("ManyView_LoadModel")}):
        with pytest.raises(WorkflowError, match="nothing to run"):
            check(graph, found)


def test_circles(graph: Graph, found: Kinds) -> None:
    first = Node("ImageBatch", {"image1": Link("9", 0), "image2": Link("9", 0)})
    second = Node("ImageBatch", {"image1": Link("8", 0), "image2": Link("8", 0)})
    with pytest.raises(WorkflowError, match=r"Node [89] \(ImageBatch\) waits for itself: .* through 2 nodes; cut one"):
        check({**graph, "8": first, "9": second}, found)
    with pytest.raises(WorkflowError, match="through 1 nodes"):
        check({**graph, "8": Node("InvertMask", {"mask": Link("8", 0)})}, found)


def test_order_takes_what_is_needed(graph: Graph) -> None:
    assert order(graph, ["5"]) == ["1", "2", "3", "4", "5"]
    assert set(order(graph)) == set(graph)
    deep: Graph = {"0": Node("LoadImageMask")}
    deep |= {str(n): Node("InvertMask", {"mask": Link(str(n - 1), 0)}) for n in range(1, 3000)}
    assert order(deep, ["2999"]) == list(deep)
    wide: Graph = {"0": Node("LoadImage")}
    wide |= {
        str(n): Node("ImageBatch", {"image1": Link(str(n - 1), 0), "image2": Link(str(n - 1), 0)})
        for n in range(1, 500)
    }
    assert order(wide, ["499"]) == list(wide), "two links to the node before, 500 times, are 500 steps"


def test_growing_inputs(graph: Graph, found: Kinds) -> None:
    links = {f"images.image{number}": Link("2", 1) for number in (10, 2, 0)}
    odd = {"images.image": Link("2", 1), "images.imagex": Link("2", 1), "images.image1": 3}
    graph = {
        **graph,
        "8": Node("BatchImagesNode", {**links, **odd}),
        "9": Node("PreviewImage", {"images": Link("8", 0)}),
    }
    checked = check(graph, found)
    assert list(checked["8"].inputs) == ["images.image0", "images.image2", "images.image10"]
    for inputs, words in (
        ({}, "images takes 1 to 50 connections, got 0"),
        ({"images.image0": Link("1", 0)}, "images.image0 takes IMAGE, but model of node 1 gives"),
        ({f"images.image{n}": Link("2", 1) for n in range(51)}, "got 51"),
    ):
        with pytest.raises(WorkflowError, match=words):
            check({**graph, "8": Node("BatchImagesNode", inputs)}, found)


def test_choices_that_nothing_offers(found: Kinds, graph: Graph) -> None:
    graph = {**graph, "8": Node("LoadImageDataSetFromFolder"), "9": Node("PreviewImage", {"images": Link("8", 0)})}
    assert check(graph, found)["8"].inputs["folder"] == "photos"
    empty = {**found, "LoadImageDataSetFromFolder": replace(found["LoadImageDataSetFromFolder"], inputs=())}
    single = found["LoadImageDataSetFromFolder"].inputs[0]
    empty["LoadImageDataSetFromFolder"] = replace(
        found["LoadImageDataSetFromFolder"], inputs=(replace(single, default=None, choices=()),)
    )
    with pytest.raises(WorkflowError, match="folder has no value"):
        check(graph, empty)


def test_a_missing_model_names_its_download(graph: Graph, found: Kinds) -> None:
    models = [{"name": "big.safetensors", "url": "https://huggingface.co/a/b.safetensors", "directory": "manyview"}, 3]
    node = Node("ManyView_LoadModel", {"model": "big.safetensors"}, properties={"models": models})
    with pytest.raises(WorkflowError, match=r"download https://huggingface\.co/a/b\.safetensors"):
        check({**graph, "1": node}, found)
