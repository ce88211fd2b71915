"""Untrusted files: whatever they hold, reading, changing, checking and running end in a graph or in our own error.

`--fuzz-cases 1500` makes twelve thousand documents, the eight tests together; with `-s` they say what came out.
"""

import copy
import importlib.util
import io
import json
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manyview.nodes.graph.host import FolderHost, Result
from manyview.workflows.api_form import write_api_form
from manyview.workflows.changes import change
from manyview.workflows.check import check
from manyview.workflows.definitions import kinds
from manyview.workflows.editor_writer import write_editor_form
from manyview.workflows.problem import WorkflowError
from manyview.workflows.reading import graph_of, parse, read_stream
from manyview.workflows.runner import Runner, call_node

WORKFLOWS = Path(__file__).resolve().parents[1] / "workflows"
_spec = importlib.util.spec_from_file_location("manyview_tests_graphs", WORKFLOWS / "graphs.py")
_graphs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_graphs)
KNOWN = kinds()
CASES = list(json.loads((WORKFLOWS / "saved_by_editor.json").read_text()).values())
REAL = {"editor": [case["workflow"] for case in CASES], "API": [case["output"] for case in CASES]}
COUNTS: Counter[str] = Counter()

WORDS = st.sampled_from(
    [
        "nodes",
        "links",
        "id",
        "type",
        "inputs",
        "outputs",
        "widgets_values",
        "widgets_values_named",
        "mode",
        "properties",
    ]
    + ["proxyWidgets", "definitions", "subgraphs", "class_type", "prompt", "_meta", "title", "name", "link", "widget"]
    + ["origin_id", "origin_slot", "target_id", "target_slot", "method", "method.rho", "images.image0", "-1", "1", "2"]
    + sorted(KNOWN)
)
NUMBERS = st.one_of(
    st.integers(-30, 30), st.integers(), st.floats(), st.sampled_from([2, 4, -10, -20, 2**63, 2**64, 1e308, 10**400])
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS, st.text(max_size=8), st.sampled_from(["\ud800", "a\0b"]))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6), st.dictionaries(st.one_of(WORDS, st.text(max_size=4)), inner, max_size=6)
    ),
    max_leaves=25,
)


def fuzz(cases: int, *drawn: st.SearchStrategy) -> Callable[[Callable[..., None]], None]:
    """Runs a function with so many examples, always the same ones."""
    rules = settings(
        deadline=None,
        max_examples=cases,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    return lambda function: rules(given(*drawn)(function))()


@pytest.fixture(scope="module", autouse=True)
def counts() -> Iterator[None]:
    yield
    if COUNTS:
        print("\n" + ", ".join(f"{what}: {count}" for what, count in sorted(COUNTS.items())))


def handle(what: str, document: Any) -> None:
    """All that happens to a document before it runs."""
    try:
        graph = graph_of(document, KNOWN)
        graph = (
            change(graph, [f"{number}.max_points=3" for number in list(graph)[:1]], KNOWN)
            if len(graph) % 7 == 3
            else graph
        )
        graph = check(graph, KNOWN)
        assert check(graph_of(write_editor_form(graph, KNOWN), KNOWN), KNOWN)
        json.dumps(write_api_form(graph), allow_nan=False)
        COUNTS[f"{what}: accepted"] += 1
    except WorkflowError as error:
        assert str(error) and str(error).encode("utf-8") and len(str(error)) < 20_000
        COUNTS[f"{what}: refused"] += 1


def test_values_of_all_kinds(fuzz_cases: int) -> None:
    @fuzz(fuzz_cases, VALUES)
    def check_one(document: Any) -> None:
        handle("values", document)


def test_pages_of_all_kinds(fuzz_cases: int) -> None:
    @fuzz(fuzz_cases, st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=4), VALUES)
    def check_one(nodes: list, links: list, definitions: Any) -> None:
        handle("pages", {"nodes": nodes, "links": links, "definitions": definitions})


@st.composite
def damaged(draw: st.DrawFn, kind: str) -> Any:
    """A real document with a few values replaced, moved, repeated or removed."""
    documents = REAL[kind]  # by name: hypothesis would print them
    which = st.integers(0, len(documents) - 1)
    document = copy.deepcopy(documents[draw(which)])
    for _ in range(draw(st.integers(1, 4))):
        place, value = (
            document,
            draw(st.one_of(VALUES, which.map(lambda place: copy.deepcopy(documents[place].get("nodes"))))),
        )
        for _ in range(draw(st.integers(0, 7))):
            keys = list(place) if isinstance(place, dict) else range(len(place))
            following = [key for key in keys if isinstance(place[key], dict | list) and place[key]]
            if not following:
                break
            place = place[draw(st.sampled_from(following))]
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys)) if keys else None
        action = draw(st.sampled_from(["replace", "remove", "repeat", "swap", "multiply"]))
        if key is None:
            continue
        if action == "replace":
            place[key] = value
        elif action == "remove":
            del place[key]
        elif action == "repeat" and isinstance(place, list):
            place.append(place[key])
        elif action == "multiply" and isinstance(place, list):
            place += [place[key]] * draw(st.sampled_from([30, 1500]))
        elif action == "swap":
            other = draw(st.sampled_from(keys))
            place[key], place[other] = place[other], place[key]
    return document


def test_damaged_files_of_the_editor(fuzz_cases: int) -> None:
    @fuzz(fuzz_cases, damaged("editor"))
    def check_one(document: Any) -> None:
        handle("editor files", document)


def test_damaged_prompts(fuzz_cases: int) -> None:
    @fuzz(fuzz_cases, damaged("API"))
    def check_one(document: Any) -> None:
        handle("API files", document)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Bytes of a JSON, PNG or GLB file, whole or damaged."""
    try:
        text = json.dumps(draw(st.one_of(VALUES, damaged("API")))).encode("utf-8", "surrogatepass")
    except ValueError:
        text = b"{}"
    key = draw(st.sampled_from([b"workflow", b"prompt", b"other"]))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    extras = b'{"asset":{"extras":{"' + key + b'":' + text + b"}}}"
    data = draw(
        st.sampled_from(
            [
                text,
                b"\x89PNG\r\n\x1a\n" + header + chunk(b"tEXt", key + b"\0" + text) + pixels,
                b"\x89PNG\r\n\x1a\n" + header + chunk(b"zTXt", key + b"\0\0" + zlib.compress(text)) + pixels,
                b"\x89PNG\r\n\x1a\n" + header + chunk(b"iTXt", key + b"\0\0\0\0\0" + text) + pixels,
                b"glTF" + struct.pack("<III", 2, 20 + len(extras), len(extras)) + b"JSON" + extras,
            ]
        )
    )
    damage = draw(st.sampled_from(["none", "none", "cut", "flip"]))
    if damage == "cut":
        return data[: draw(st.integers(0, len(data)))]
    if damage == "flip" and data:
        place = draw(st.integers(0, len(data) - 1))
        return data[:place] + bytes([data[place] ^ draw(st.integers(1, 255))]) + data[place + 1 :]
    return data


def test_files_of_all_kinds(fuzz_cases: int) -> None:
    @fuzz(fuzz_cases, st.one_of(files(), st.binary(max_size=200)))
    def check_one(data: bytes) -> None:
        try:
            document = read_stream(io.BytesIO(data))
        except WorkflowError as error:
            COUNTS["files: refused"] += 1
            assert str(error).encode("utf-8")
            return
        handle("files", document)


def test_text_that_is_no_json(fuzz_cases: int) -> None:
    @fuzz(fuzz_cases, st.text(max_size=60))
    def check_one(text: str) -> None:
        try:
            parse(text.encode("utf-8", "surrogatepass"))
        except WorkflowError:
            COUNTS["text: refused"] += 1


def test_changes_of_all_kinds(fuzz_cases: int) -> None:
    written = st.text(max_size=20) | st.builds("{}.{}={}".format, WORDS, WORDS, LEAVES)

    @fuzz(fuzz_cases, st.integers(0, len(CASES) - 1), st.lists(written, max_size=3))
    def check_one(place: int, assignments: list[str]) -> None:
        graph = graph_of(REAL["API"][place], KNOWN)
        try:
            check(change(graph, assignments, KNOWN), KNOWN)
            COUNTS["changes: accepted"] += 1
        except WorkflowError as error:
            COUNTS["changes: refused"] += 1
            assert str(error)


def test_graphs_that_are_fit_run_or_fail_by_name(tmp_path: Path, fuzz_cases: int) -> None:
    """Nodes of ours are replaced by ones that give nothing; core nodes are the real ones."""
    host = FolderHost(tmp_path / "base")
    around = {*host.base.parent.iterdir(), *host.base.parent.parent.iterdir()}

    def call(class_type: str, host: FolderHost, inputs: dict[str, Any]) -> Result:
        if class_type.startswith("ManyView_"):
            return Result((None,) * len(KNOWN[class_type].outputs))
        return call_node(class_type, host, inputs)

    @fuzz(fuzz_cases, _graphs.graphs(KNOWN))
    def check_one(graph: Any) -> None:
        try:
            Runner(host, call=call).run(graph, found=KNOWN)
            COUNTS["runs: done"] += 1
        except WorkflowError as error:
            COUNTS["runs: failed"] += 1
            assert str(error).startswith("Node ")
        assert {*host.base.parent.iterdir(), *host.base.parent.parent.iterdir()} == around, "nothing written outside"
