"""Names of files that every system takes, from names that only the system they come from may take."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

MOST_BYTES = 180  # of one part of a path in UTF-8, so that an ending and a number still fit into the usual 255
TAIL_BYTES = 60  # how much of a long name's end is kept: that is where numbers and times stand
ENDING_BYTES = 20
# What Windows refuses, control characters, and bytes that are no text (surrogates).
REFUSED = re.compile('[<>:"|?*\x00-\x1f\x7f\ud800-\udfff]')
DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def portable_names(names: Iterable[str], *, folders: bool = True, ending: str | None = None) -> list[str]:
    """Relative paths with forward slashes, one for each name, that differ even where upper and lower case are one.

    folders: False takes the last part of each name alone. ending: replaces the name's own, such as ".png"; given, two
    names that differ in their ending alone are numbered.
    """
    paths = [portable_path(name) for name in names]
    paths = paths if folders else [path.rsplit("/", 1)[-1] for path in paths]
    taken = {_folded(str(parent)) for path in paths for parent in PurePosixPath(path).parents}
    result = []
    for path in paths:
        stem, own = split_ending(path)
        result.append(_free(stem, own if ending is None else ending, taken))
    return result


def portable_path(name: str) -> str:
    """The name as a relative path whose parts every system takes; "frame" where nothing of it is left."""
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "//", ".", "..")]
    return "/".join(portable_part(part) for part in parts) or "frame"


def portable_part(part: str, most_bytes: int = MOST_BYTES) -> str:
    """One part of a path with underscores for what some system refuses, shortened in its middle where it is long."""
    part = REFUSED.sub("_", part)
    part = re.sub(r"[ .]+$", lambda found: "_" * len(found[0]), part)
    if DEVICES.fullmatch(part):
        part = f"_{part}"
    return shortened_part(part, most_bytes)


def shortened_part(part: str, most_bytes: int) -> str:
    """The part, with its beginning and end alone where it has more bytes in UTF-8 than that."""
    data = part.encode("utf-8", "surrogatepass")
    if len(data) <= most_bytes:
        return part
    tail = min(TAIL_BYTES, most_bytes // 3)
    head = data[: most_bytes - tail - 1].decode("utf-8", "ignore")
    return f"{head}~{data[-tail:].decode('utf-8', 'ignore')}"


def split_ending(path: str) -> tuple[str, str]:
    """The path without its ending, and the ending; a very long one is no ending."""
    stem, ending = os.path.splitext(path)
    return (stem, ending) if len(ending.encode("utf-8", "surrogatepass")) <= ENDING_BYTES else (path, "")


def _free(stem: str, ending: str, taken: set[str]) -> str:
    """The name, numbered if it is taken, which it then is."""
    number, candidate = 2, stem + ending
    while _folded(candidate) in taken:
        number, candidate = number + 1, f"{stem}_{number}{ending}"
    taken.add(_folded(candidate))
    return candidate


def _folded(name: str) -> str:
    """The same for names that some system takes for one."""
    return unicodedata.normalize("NFC", name).casefold()
