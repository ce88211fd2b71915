"""Names of files as visitors give them, made fit for any system, and so that their order is that of a list."""

import os
import re
import unicodedata
from collections.abc import Sequence

from ..scene.files import natural_key, number_repeats

NUMBERED = [f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10)]
RESERVED = frozenset(("CON", "PRN", "AUX", "NUL", *NUMBERED))  # as names of files on Windows


def safe_name(name: str, most: int = 80) -> str:
    """A file name of letters and digits of any language and a few marks, without folders, of at most so many bytes."""
    plain = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    stem, ending = (re.sub(r"[^\w.-]+", "_", part) for part in os.path.splitext(plain))
    ending = shortened(ending.rstrip("._-"), 10)
    stem = shortened(stem.strip("._-"), most - len(ending.encode())).strip("._-") or "file"
    return f"{stem}_{ending}" if stem.split(".")[0].upper() in RESERVED else f"{stem}{ending}"


def shortened(text: str, most: int) -> str:
    """The beginning of a text that has at most so many bytes."""
    return text.encode("utf-8", "ignore")[:most].decode("utf-8", "ignore")


def ordered_names(names: Sequence[str]) -> list[str]:
    """The names if their natural order is that of the list, else with a number before each."""
    unique = list(number_repeats(names))
    if unique == sorted(unique, key=natural_key):
        return unique
    digits = len(str(len(unique)))
    return [f"{place:0{digits}}_{name}" for place, name in enumerate(unique, start=1)]
