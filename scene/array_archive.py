"""Arrays of an NPZ file that may be anybody's: checked by its directory and headers before anything is read."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..texts.paths import PathLike
from ..texts.shown import shortened

MOST_BYTES = 1 << 30  # of all arrays that are read together, or
MOST_TIMES = 4  # times the size of the file, if that is more: what we write is compressed by less
MOST_ENTRIES = 1000
MOST_HEADER = 10_000  # characters that describe one array


class DamagedFile(ValueError):
    """A file that does not hold what it should; one sentence says what is wrong."""


@dataclass(frozen=True)
class Stored:
    """One array of the file, not read yet."""

    entry: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


Check = Callable[[Mapping[str, Stored]], None]


def read_arrays(path: PathLike, wanted: Callable[[str], bool] = lambda name: True, check: Check | None = None) -> dict:
    """The arrays by name, those whose name is `wanted`.

    `check` sees shapes and types of what would be read, and may raise ValueError. DamagedFile for whatever is no NPZ
    file of plain numbers and texts, and for one that would fill more than MOST_BYTES and MOST_TIMES its size.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; check the path.")
    try:
        with zipfile.ZipFile(path) as archive:
            stored = _stored(archive, wanted)
            _check_size(stored, path.stat().st_size)
            if check is not None:
                check(stored)
            return {name: _read(archive, each) for name, each in stored.items()}
    except DamagedFile as error:
        raise DamagedFile(f"{path} {error}") from error
    except (RecursionError, MemoryError) as error:
        raise DamagedFile(f"{path} does not fit into memory, or is damaged; write it again.") from error
    except Exception as error:  # damaged bytes make zipfile, zlib and NumPy fail in many ways
        reason = shortened(" ".join(str(error).split()) or type(error).__name__, 200)
        raise DamagedFile(f"{path} is not a readable NPZ file ({reason}); write it again.") from error


def _stored(archive: zipfile.ZipFile, wanted: Callable[[str], bool]) -> dict[str, Stored]:
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        raise DamagedFile(f"holds {len(entries):,} arrays, and {MOST_ENTRIES:,} are allowed; write it again.")
    stored: dict[str, Stored] = {}
    for entry in entries:
        name = entry.filename.removesuffix(".npy")
        if not wanted(name):
            continue
        if name in stored:
            raise DamagedFile(f"holds {shortened(name)!r} twice; write it again.")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
            raise DamagedFile("is encrypted or compressed in a way that NumPy does not use; write it again.")
        with archive.open(entry) as opened:
            stored[name] = _header(entry, name, opened)
    return stored


def _header(entry: zipfile.ZipInfo, name: str, opened: IO[bytes]) -> Stored:
    version = np.lib.format.read_magic(opened)
    if version not in ((1, 0), (2, 0)):
        raise DamagedFile(f"holds {shortened(name)!r} in version {version} of the NPY format; write it again.")
    readers = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
    shape, _, dtype = readers[version[0] - 1](opened, max_header_size=MOST_HEADER)
    found = Stored(entry, shape, dtype)
    if dtype.hasobject or dtype.kind not in "biufU" or dtype.itemsize < 1:
        raise DamagedFile(f"holds {shortened(name)!r} as {shortened(str(dtype))}, which is neither numbers nor text.")
    if min(shape, default=0) < 0 or found.size_bytes != entry.file_size - opened.tell():
        raise DamagedFile(f"is damaged: {shortened(name)!r} is not as long as its shape {shape} says; write it again.")
    return found


def _check_size(stored: Mapping[str, Stored], file_bytes: int) -> None:
    total, most = sum(each.size_bytes for each in stored.values()), max(MOST_BYTES, MOST_TIMES * file_bytes)
    if total > most:
        raise DamagedFile(
            f"has {file_bytes:,} bytes, but its arrays would fill {total:,}; {most:,} are allowed. Save it without "
            "compression, or fewer views."
        )


def _read(archive: zipfile.ZipFile, stored: Stored) -> Any:
    with archive.open(stored.entry) as opened:
        array = np.lib.format.read_array(opened, allow_pickle=False, max_header_size=MOST_HEADER)
        if opened.read(1):
            raise DamagedFile("is damaged: an array is longer than it says; write it again.")
    return array
