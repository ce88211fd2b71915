"""Files that programs give to the endpoint: uploads of gradio's clients, web addresses, data: URIs."""

import base64
import binascii
import mimetypes
import shutil
from asyncio import to_thread
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from gradio import processing_utils
from gradio_client.utils import is_file_obj_with_meta

from ..scene.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, suffix_of
from ..texts.paths import is_there
from .fetch import fetch
from .photos import MOST_BYTES
from .server import Limits

UPLOADED = "/gradio_api/file="  # how an address of this demo names what was uploaded to it
WEB = ("http://", "https://")
ABOUT = (
    "Web addresses (http, https) or data: URIs of photos of the same scene from different places, or of one video. "
    "gradio_client's handle_file sends files of your own."
)


def keep_addresses() -> None:
    """Make gradio leave web addresses as they are: it fetches those in any event at once, without limits."""
    gradio_fetches = processing_utils.async_ssrf_protected_download
    if gradio_fetches is not _address_itself:
        processing_utils.async_ssrf_protected_download = _address_itself


async def _address_itself(url: str, cache_dir: str) -> str:
    return url


def file_input() -> gr.JSON:
    """An input that takes files also as text, for MCP: gradio's own input of several files gets no files by MCP.

    No class of its own, because gradio writes a file beside the source of every class of components.
    """
    made = gr.JSON(label="photos")
    made.api_info = lambda: {"type": "array", "items": {"type": "string"}, "description": ABOUT}
    made.example_payload = made.example_value = lambda: ["https://example.com/a.jpg", "https://example.com/b.jpg"]
    return made


async def files_of(given: Sequence[Any], folder: Path, uploads: Path, limits: Limits) -> list[Path]:
    """The files: those given as text in `folder`, uploads where they are, to be moved; ValueError if one cannot be had.

    uploads: the folder in which gradio keeps what was sent.
    """
    if not isinstance(given, list):
        raise ValueError(f"photos must be a list, not {type(given).__name__}.")
    if len(given) > limits.images:
        raise ValueError(f"These are {len(given):,} photos; at most {limits.images:,} can be used here.")
    files: list[Path] = []
    for number, one in enumerate(given):
        place = folder / str(number)  # equal names do not meet
        place.mkdir()
        left = min(limits.upload_bytes, MOST_BYTES - sum(path.stat().st_size for path in files))
        if isinstance(one, str):
            files.append(await _from_text(one.strip(), place, uploads, left))
        elif is_file_obj_with_meta(one) and str(one["path"]).startswith(WEB):
            files.append(await _from_text(str(one["path"]), place, uploads, left))
        elif is_file_obj_with_meta(one):
            files.append(_uploaded(Path(one["path"]), uploads))
        else:
            raise ValueError(f"{shortened(one)} is no file. {ABOUT}")
    return files


async def _from_text(text: str, folder: Path, uploads: Path, most_bytes: int) -> Path:
    if text.startswith("data:"):
        return await to_thread(_decoded, text, folder, most_bytes)
    if not text.startswith(WEB):
        raise ValueError(f"{shortened(text)} is no web address and no data: URI. {ABOUT}")
    if UPLOADED in text:
        path = _uploaded(Path(unquote(text.split(UPLOADED, 1)[1])), uploads)
        return Path(await to_thread(shutil.copy, path, folder / path.name))  # its address may be given again
    try:
        return await to_thread(_with_suffix, await fetch(text, folder, most_bytes))
    except ValueError as error:
        raise ValueError(f"{shortened(text)} cannot be fetched: {error}.") from error


def _decoded(text: str, folder: Path, most_bytes: int) -> Path:
    if len(text) * 3 // 4 > most_bytes:
        raise ValueError(f"{shortened(text)} is larger than {most_bytes / 1e6:,.0f} MB.")
    head, _, body = text.partition(",")
    kind, *how = head.removeprefix("data:").split(";")
    if "base64" not in how:
        raise ValueError(f"{shortened(text)} is a data: URI without base64; write data:image/jpeg;base64,...")
    path = folder / f"file{mimetypes.guess_extension(kind) or ''}"
    try:
        path.write_bytes(base64.b64decode(body, validate=True))
    except binascii.Error as error:
        raise ValueError(f"{shortened(text)} is not valid base64: {error}.") from error
    return _with_suffix(path)


def _uploaded(path: Path, uploads: Path) -> Path:
    """The path, if it is one of what was uploaded."""
    if not is_there(path) or not path.resolve().is_relative_to(uploads.resolve()) or not path.is_file():
        raise ValueError(f"{path.name} was not uploaded here, or it is gone; upload it again.")
    return path


def _with_suffix(path: Path) -> Path:
    """A picture or video whose name says what it is."""
    if path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
        return path
    suffix = suffix_of(path)
    if suffix is None:
        return path  # whoever reads it says what it is not
    return path.rename(path.with_name(path.name + suffix))


def shortened(value: Any) -> str:
    """The beginning of what was given, for a sentence."""
    text = str(value)
    return repr(text if len(text) <= 80 else text[:77] + "...")
