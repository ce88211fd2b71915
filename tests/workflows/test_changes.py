"""--set node.field=value: nodes by number, title or name, values as text."""

from typing import Any

import pytest

from manyview.workflows.changes import change, fields
from manyview.workflows.check import check
from manyview.workflows.definitions import Kinds
from manyview.workflows.graph import Graph, Link, Node
from manyview.workflows.problem import WorkflowError


@pytest.mark.parametrize(
    ("assignment", "number", "field", "value"),
    [
        ("5.max_points=1000", "5", "max_points", 1000),
        ("point cloud.max_points=1000", "5", "max_points", 1000),
        ("PointCloud.frames=0,3-5", "5", "frames", "0,3-5"),
        ("ManyView_PointCloud.use_masks=false", "5", "use_masks", False),
        ("My points.edge_filter=0.5", "5", "edge_filter", 0.5),
        ("5.max_points=many", "5", "max_points", "many"),
        ("5.max_points=[1]", "5", "max_points", "[1]"),
        ("5.max_points=NaN", "5", "max_points", "NaN"),
        ("5.reduce=random", "5", "reduce", "random"),
        ("load images.source=a = b.c", "2", "source", "a = b.c"),
        ("3.method.rho=0.75", "3", "method.rho", 0.75),
        ("7.filename_prefix=", "7", "filename_prefix", ""),
    ],
)
def test_set(graph: Graph, known: Kinds, assignment: str, number: str, field: str, value: Any) -> None:
    graph = {**graph, "5": Node(graph["5"].class_type, graph["5"].inputs, "My Points")}
    changed = change(graph, [assignment], known)
    assert changed[number].inputs[field] == value and type(changed[number].inputs[field]) is type(value)
    assert {key: node for key, node in changed.items() if key != number} == {
        key: node for key, node in graph.items() if key != number
    }


def test_another_choice_has_fields_of_its_own(graph: Graph, known: Kinds) -> None:
    changed = change(graph, ["3.method=fast", "3.method.min_tokens=7"], known)
    assert changed["3"].inputs == {"method": "fast", "method.min_tokens": 7}
    with pytest.raises(WorkflowError, match=r"has no field method.rho to set; it has method, method.min_tokens"):
        change(graph, ["3.method=fast", "3.method.rho=0.5"], known)


def test_a_link_is_replaced(graph: Graph, known: Kinds) -> None:
    graph = {**graph, "8": Node("PrimitiveInt", {"value": 3})}
    graph["5"] = Node(graph["5"].class_type, {**graph["5"].inputs, "max_points": Link("8", 0)})
    assert change(graph, ["5.max_points=9"], known)["5"].inputs["max_points"] == 9
    assert isinstance(dict((each.name, value) for each, value in fields(graph["5"], known))["max_points"], Link)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("5.max_points", "must have the form node.field=value"),
        ("max_points=3", "must have the form"),
        (".x=3", "must have the form"),
        ("5.=3", "must have the form"),
        (
            "99.max_points=3",
            r"99 is no node. There are: Node 1 \(Load Model\); .*Node 7 \(Export Point Cloud: ",
        ),
        ("preview.x=3", "preview means 2 nodes: 6, 8; name one by its number"),
        ("5.points=3", "has no field points to set; it has confidence_percentile"),
        ("5.scene=3", "has no field scene"),
        ("9.x=3", r"Node 9 \(Unknown\) has no field x to set; it has none"),
    ],
)
def test_what_cannot_be_set(graph: Graph, known: Kinds, assignment: str, words: str) -> None:
    graph = {**graph, "8": graph["6"], "9": Node("Unknown")}
    with pytest.raises(WorkflowError, match=words):
        change(graph, [assignment], known)


def test_values_are_checked_as_any_other(graph: Graph, known: Kinds) -> None:
    graph = {**graph, "1": Node("ManyView_LoadModel"), "2": Node("ManyView_LoadImages")}
    with pytest.raises(WorkflowError, match="max_points is 'many', but must be a number"):
        check(change(graph, ["5.max_points=many"], known), known)
