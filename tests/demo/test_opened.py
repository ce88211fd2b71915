"""Workflows that visitors open: as settings, as a graph, or an error of ours, whatever is in them."""

import copy
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manyview.demo import graphs
from manyview.demo.opened import open_document, opened_html
from manyview.demo.sessions import Session, Sessions
from manyview.demo.settings import SPARSITY, Settings, defaults, known
from manyview.demo.work import document_of
from manyview.workflows.api_form import write_api_form
from manyview.workflows.check import check
from manyview.workflows.editor_writer import write_editor_form
from manyview.workflows.problem import WorkflowError

EXAMPLES = int(os.environ.get("MANYVIEW_FUZZ", "100"))
ALL = Settings(scale={"measured": 1.0, "meters": 2.0}, against=defaults(SPARSITY), formats=("ply", "colmap", "depth"))
GRAPH = check(graphs.build(ALL), known())
PARTS = {
    "editor": json.loads(json.dumps(write_editor_form(GRAPH, known(), graphs.page(GRAPH)))),
    "API": json.loads(json.dumps(write_api_form(GRAPH))),
}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["../../etc", "/etc/passwd", "ManyView_Compare", "LoadImage", ["1", 0], ["99", 0], {}, [], 10**400]
    ),
)
COUNTS: Counter[str] = Counter()


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("opened")
    found = Sessions(folder / "sessions", folder / "models", torch.device("cpu")).of("1")
    yield found
    found.close()


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Where there is something in a document."""
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        found += places(each, (*path, key))
    return found


@settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_workflows_end_in_settings_or_our_error(session: Session, data: st.DataObject) -> None:
    document = copy.deepcopy(PARTS[data.draw(st.sampled_from(sorted(PARTS)))])
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(document)))
        around = document
        for key in path[:-1]:
            around = around[key]
        if data.draw(st.booleans()):
            around[path[-1]] = data.draw(ODD)
        else:
            del around[path[-1]]
        if not places(document):
            break
    try:
        opened = open_document(session, document)
    except WorkflowError as error:
        COUNTS["refused"] += 1
        assert str(error).strip()
        return
    COUNTS["settings" if opened.settings else "graph alone"] += 1
    assert opened_html("a <b>.json", opened).startswith("<p><b>a &lt;b&gt;.json")
    if opened.settings and opened.can_run:
        document_of(session, opened.settings)


def test_counts() -> None:
    print(dict(COUNTS))
    assert COUNTS["settings"] and COUNTS["refused"]


def test_what_the_page_saves_it_opens(session: Session) -> None:
    for form in PARTS.values():
        opened = open_document(session, form)
        assert opened.settings == ALL and opened.can_run and opened.notes == []


def test_photos_that_are_not_here_are_told(session: Session) -> None:
    document = json.loads(json.dumps(PARTS["API"]))
    document[graphs.IMAGES]["inputs"]["source"] = "holiday"
    opened = open_document(session, document)
    assert not opened.can_run and "'holiday', which is not here" in opened.notes[-1]


def test_masks_that_are_not_here_are_told(session: Session) -> None:
    document = json.loads(json.dumps(PARTS["API"]))
    document[graphs.IMAGES]["inputs"]["masks"] = "holiday masks"
    opened = open_document(session, document)
    assert not opened.can_run and "'holiday masks', which are not here" in opened.notes[-1]


def test_a_graph_without_controls_can_run_as_it_is(session: Session) -> None:
    document = {
        "1": {"class_type": "PrimitiveInt", "inputs": {"value": 3}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    opened = open_document(session, document)
    assert opened.settings is None and "The page has no controls for it" in opened_html("x", opened)


def test_unknown_nodes_are_named(session: Session) -> None:
    with pytest.raises(WorkflowError, match="NoSuchNode"):
        open_document(session, {"1": {"class_type": "NoSuchNode", "inputs": {}}})


def test_examples_open(session: Session, root: Path) -> None:
    for path in sorted((root / "example_workflows").glob("[123]*.json")):
        assert open_document(session, json.loads(path.read_text())).settings is not None, path


def test_a_model_that_is_not_here_is_named_and_can_be_fetched(session: Session, root: Path) -> None:
    (template,) = (root / "example_workflows").glob("6*.json")
    opened = open_document(session, json.loads(template.read_text(encoding="utf-8")))
    assert opened.settings.model["model"] == "vggt-1b" and opened.missing == "vggt-1b" and not opened.can_run
    (note,) = opened.notes
    assert note.startswith("It uses vggt-1b (") and "GB" in note and "non-commercial" in note and "<" not in note
    unknown = copy.deepcopy(PARTS["API"])
    unknown["1"]["inputs"]["model"] = "mine.safetensors"
    with pytest.raises(WorkflowError, match=r"mine\.safetensors"):
        open_document(session, unknown)


def test_what_has_no_control_is_told_without_ids(session: Session, root: Path) -> None:
    (template,) = (root / "example_workflows").glob("2*.json")
    opened = open_document(session, json.loads(template.read_text(encoding="utf-8")))
    shown = opened_html("a.json", opened)
    assert "Sparsity Report" in shown and "Node 7" not in shown and "ManyView_" not in shown
