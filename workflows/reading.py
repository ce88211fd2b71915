"""A workflow out of a file: JSON, or the metadata of a PNG or GLB that ComfyUI or ManyView saved."""

import json
import struct
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from PIL import Image

from . import limits
from .api_form import is_api_form, read_api_form
from .definitions import Kinds
from .editor_form import is_editor_form, read_editor_form
from .graph import Graph
from .problem import WorkflowError

PNG, GLB = b"\x89PNG\r\n\x1a\n", b"glTF"
KEYS = ("workflow", "prompt")  # in metadata: the editor's form, which holds more, and the API's


def read_workflow(path: Path, kinds: Kinds) -> Graph:
    """The graph of a file."""
    return graph_of(read_file(path), kinds)


def graph_of(document: Any, kinds: Kinds) -> Graph:
    """The graph of a document in either form; `document` is what JSON gives, or a body of ComfyUI's /prompt."""
    limits.check_values(document)
    if isinstance(document, dict) and is_editor_form(document):
        return read_editor_form(document, kinds)
    if isinstance(document, dict) and is_api_form(document.get("prompt")):
        document = document["prompt"]
    if is_api_form(document):
        return read_api_form(document)
    raise WorkflowError(
        "This JSON is no ComfyUI workflow: it has neither a list of nodes, as the editor saves, nor nodes with a "
        "class_type, as Export (API) gives."
    )


def read_file(path: Path) -> Any:
    """The document in a JSON, PNG or GLB file, told apart by their first bytes."""
    try:
        with path.open("rb") as file:
            return read_stream(file)
    except OSError as error:
        raise WorkflowError(f"{path.name} cannot be read: {error.strerror or error}.") from error


def read_stream(file: BinaryIO) -> Any:
    """The document in an open file."""
    start = file.read(8)
    file.seek(0)
    if start == PNG:
        return _in_metadata(_png_metadata(file), "PNG")
    if start.startswith(GLB):
        return _in_metadata(_glb_metadata(file), "GLB")
    return parse(file.read(limits.BYTES + 1))


def parse(text: bytes | str) -> Any:
    """The values of JSON text."""
    if len(text) > limits.BYTES:
        raise WorkflowError(f"The workflow is larger than {limits.BYTES // 10**6} MB; that is no workflow.")
    try:
        document = json.loads(text, parse_constant=_no_number)
    except WorkflowError:
        raise
    except (ValueError, RecursionError) as error:
        raise WorkflowError(f"This file holds no workflow: it is no JSON ({error}).") from error
    limits.check_values(document)
    return document


def _no_number(name: str) -> NoReturn:
    raise WorkflowError(f"The workflow holds {name}, which JSON does not know; put a number there.")


def _in_metadata(metadata: dict[str, Any], kind: str) -> Any:
    """The workflow among the metadata of a file, as text or as values."""
    found = next((metadata[key] for key in KEYS if metadata.get(key)), None)
    if found is None:
        raise WorkflowError(f"This {kind} file carries no workflow; save one with metadata, or give the JSON file.")
    document = parse(found) if isinstance(found, str) else found
    limits.check_values(document)
    return document


def _png_metadata(file: BinaryIO) -> dict[str, Any]:
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            return {key: value for key, value in picture.info.items() if isinstance(value, str)}
    except Exception as error:  # Pillow raises errors of many kinds for broken files
        raise WorkflowError(f"This PNG file is broken: {error}.") from error


def _glb_metadata(file: BinaryIO) -> dict[str, Any]:
    """`asset.extras` of the JSON that a GLB begins with."""
    head = file.read(20)
    if len(head) < 20 or head[16:] != b"JSON":
        raise WorkflowError("This GLB file is broken: it does not begin with its JSON part.")
    (size,) = struct.unpack("<I", head[12:16])
    if size > limits.BYTES:
        raise WorkflowError(f"The JSON part of this GLB file is larger than {limits.BYTES // 10**6} MB.")
    document = parse(file.read(size))
    asset = document.get("asset") if isinstance(document, dict) else None
    extras = asset.get("extras") if isinstance(asset, dict) else None
    return extras if isinstance(extras, dict) else {}
