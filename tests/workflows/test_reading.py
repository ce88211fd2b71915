"""Files in, graphs out: JSON of both forms, PNG and GLB metadata, and what is too much."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from manyview.workflows import levels, limits
from manyview.workflows.api_form import write_api_form
from manyview.workflows.definitions import Kinds
from manyview.workflows.graph import Graph, Link, Node
from manyview.workflows.problem import SHOWN, WorkflowError, short
from manyview.workflows.reading import graph_of, parse, read_file, read_workflow

API = {"3": {"class_type": "ManyView_LoadModel", "inputs": {"model": "pi3"}, "_meta": {"title": "The model"}}}


def png(path: Path, **texts: str) -> Path:
    metadata = PngInfo()
    for name, text in texts.items():
        metadata.add_text(name, text)
    Image.new("RGB", (4, 4)).save(path, pnginfo=metadata)
    return path


def glb(path: Path, document: Any) -> Path:
    text = json.dumps(document).encode() if not isinstance(document, bytes) else document
    path.write_bytes(b"glTF" + struct.pack("<III", 2, 20 + len(text), len(text)) + b"JSON" + text)
    return path


def test_api_form(known: Kinds) -> None:
    graph = graph_of(API, known)
    assert graph == {"3": Node("ManyView_LoadModel", {"model": "pi3"}, "The model")}
    assert write_api_form(graph) == API
    assert graph_of({"prompt": API, "client_id": "x"}, known) == graph, "the body of /prompt"


def test_links_and_lists_that_are_values(known: Kinds) -> None:
    document = {
        "1": {"class_type": "A", "inputs": {"a": ["2", 1], "b": {"__value__": [1, 2]}, "c": [3, 0], "d": ["x"]}}
    }
    node = graph_of(document, known)["1"]
    assert node.inputs == {"a": Link("2", 1), "b": [1, 2], "c": Link("3", 0), "d": ["x"]}
    assert node.links == {"a": Link("2", 1), "c": Link("3", 0)}
    assert write_api_form({"1": node})["1"]["inputs"]["b"] == {"__value__": [1, 2]}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "no ComfyUI workflow"),
        ("text", "no ComfyUI workflow"),
        ({}, "no ComfyUI workflow"),
        ({"prompt": {}}, "no ComfyUI workflow"),
        ({"1": {"class_type": "A"}, "2": {}}, "Node '2' has no class_type"),
        ({"1": {"class_type": 3}}, "Node '1' has no class_type"),
        ({"1": {"class_type": "A", "inputs": [1]}}, r"inputs of node '1' are \[1\], but must be an object"),
    ],
)
def test_what_is_no_workflow(known: Kinds, document: Any, words: str) -> None:
    with pytest.raises(WorkflowError, match=words):
        graph_of(document, known)


def test_metadata_of_png_and_glb(tmp_path: Path, known: Kinds) -> None:
    text, expected = json.dumps(API), graph_of(API, known)
    page = {"nodes": [{"id": 3, "type": "ManyView_LoadModel", "title": "The model", "widgets_values": ["pi3"]}]}
    for path in (
        png(tmp_path / "a.png", prompt=text),
        png(tmp_path / "b.png", prompt="{}", workflow=json.dumps(page)),
        glb(tmp_path / "a.glb", {"asset": {"extras": {"prompt": API}}}),
        glb(tmp_path / "b.glb", {"asset": {"extras": {"prompt": text}}}),
        glb(tmp_path / "c.glb", {"asset": {"extras": {"workflow": page, "prompt": {}}}}),
    ):
        assert read_workflow(path, known) == expected, path.name


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"{", "no JSON"),
        (b"[" * 50_000, "no JSON"),
        (b"[" * 200 + b"]" * 200, "100 levels deep"),
        (b'{"a": NaN}', "NaN, which JSON does not know"),
        (b'{"a": 1e999}', "infinite"),
        (b'{"a": 99999999999999999999}', "63 bits"),
        (b'{"a": ' + b"9" * 5000 + b"}", "no JSON"),
        (b'{"a": "\\ud800"}', "half of a Unicode character"),
        (b'{"a": "' + b"x" * (limits.TEXT + 1) + b'"}', "text of more than 200,000 characters"),
        (b"[" + b"0," * limits.VALUES + b"0]", "more than 1,000,000 values"),
        (b" " * (limits.BYTES + 1), "larger than 20 MB"),
        (b"\x89PNG\r\n\x1a\n broken", "PNG file is broken"),
        (b"glTF", "GLB file is broken"),
        (b"glTF" + struct.pack("<III", 2, 20, 2**31) + b"JSON", "larger than 20 MB"),
        (b"glTF" + struct.pack("<III", 2, 20, 10) + b"JSON{", "no JSON"),
    ],
)
def test_broken_files_are_one_sentence(tmp_path: Path, known: Kinds, content: bytes, words: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(WorkflowError, match=words) as caught:
        read_workflow(path, known)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_files_without_a_workflow(tmp_path: Path) -> None:
    with pytest.raises(WorkflowError, match="This PNG file carries no workflow"):
        read_file(png(tmp_path / "a.png", parameters="x"))
    for document in ({"asset": {"extras": []}}, {"asset": 3}, {}, []):
        with pytest.raises(WorkflowError, match="This GLB file carries no workflow"):
            read_file(glb(tmp_path / "a.glb", document))
    with pytest.raises(WorkflowError, match=r"missing.json cannot be read: No such file"):
        read_file(tmp_path / "missing.json")


def test_metadata_is_as_limited_as_files(tmp_path: Path) -> None:
    deep = {"x": 0}
    for _ in range(limits.DEPTH):
        deep = {"x": deep}
    with pytest.raises(WorkflowError, match="levels deep"):
        read_file(glb(tmp_path / "a.glb", {"asset": {"extras": {"workflow": json.dumps(deep)}}}))
    with pytest.raises(WorkflowError, match="levels deep"):
        read_file(glb(tmp_path / "b.glb", {"asset": {"extras": {"workflow": deep}}}))


def test_too_many_nodes(known: Kinds) -> None:
    many: Graph = {str(number): Node("A") for number in range(limits.NODES + 1)}
    with pytest.raises(WorkflowError, match="2,001 nodes"):
        graph_of(write_api_form(many), known)
    with pytest.raises(WorkflowError, match="more than 2,000 nodes"):
        graph_of({"nodes": [{"id": number, "type": "A"} for number in range(limits.NODES + 1)]}, known)


def test_too_many_inputs(known: Kinds) -> None:
    many = [{"name": "a", "link": None}] * (limits.INPUTS + 1)
    with pytest.raises(WorkflowError, match="has 1,001 inputs, more than 1,000"):
        graph_of({"nodes": [{"id": 1, "type": "PreviewAny", "inputs": many}]}, known)
    values = {f"a{number}": 0 for number in range(limits.INPUTS + 1)}
    with pytest.raises(WorkflowError, match="has 1,001 inputs, more than 1,000"):
        graph_of({"1": {"class_type": "PreviewAny", "inputs": values}}, known)


def test_links_that_go_a_long_way_round(known: Kinds, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 20 inputs is followed through 30 reroutes."""
    nodes = [
        {"id": number, "type": "Reroute", "inputs": [{"name": "", "link": number or None}], "outputs": [{"name": ""}]}
        for number in range(30)
    ]
    nodes.append({"id": 30, "type": "A", "inputs": [{"name": f"a{place}", "link": 30} for place in range(20)]})
    document = {"nodes": nodes, "links": [[number, number - 1, 0, number, 0, "*"] for number in range(1, 31)]}
    monkeypatch.setattr(limits, "STEPS", 20 * 61)
    assert list(graph_of(document, known)) == ["30"]
    monkeypatch.setattr(limits, "STEPS", 20 * 60)
    with pytest.raises(WorkflowError, match="takes more than 1,200 steps"):
        graph_of(document, known)


def test_a_subgraph_is_parsed_once(known: Kinds, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = {"id": "s", "nodes": [{"id": 1, "type": "A"}], "links": [[n, 1, 0, 1, 0, "*"] for n in range(50)]}
    parsed, wire = [], levels._wire
    monkeypatch.setattr(levels, "_wire", lambda raw: parsed.append(raw) or wire(raw))
    document = {"nodes": [{"id": n, "type": "s"} for n in range(40)], "definitions": {"subgraphs": [inner]}}
    assert len(graph_of(document, known)) == 40 and len(parsed) == 50


def test_text_of_both_kinds() -> None:
    assert parse('{"a": [1, 2.5, true, null, "x"]}') == parse(b'{"a": [1, 2.5, true, null, "x"]}')


def test_messages_stay_short() -> None:
    error = WorkflowError(*(f"Sentence {number}." for number in range(SHOWN + 5)))
    assert str(error).endswith("And 5 more.") and len(error.sentences) == SHOWN + 5
    assert len(short("x" * 1000)) == 60 and short("\x1b[31m\u4e2d") == r"'\x1b[31m\u4e2d'"
