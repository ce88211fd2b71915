"""One run at a time writes into a folder, and what a run that was ended left half done is cleared away.

The mark is a small file in the folder. The system holds a lock on it for as long as the process lives, so a mark
without a lock is that of a run that was ended, however it was: its half files are removed, and the files that it had
finished may be replaced.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO

from .atomic import PARTIAL, PathLike

logger = logging.getLogger(__name__)

MARK = ".manyview-writing"
ATTEMPTS, PAUSE_S = 8, 0.05
_held: ContextVar[frozenset[str]] = ContextVar("held", default=frozenset())


class FolderInUse(FileExistsError):
    """Another run is writing there."""


@contextmanager
def claimed(folder: PathLike) -> Iterator[bool]:
    """Make the folder, and keep others from writing into it; gives whether an earlier run was ended in it.

    FolderInUse if another run is writing there. Whoever has the claim may claim it again. A folder that was made here
    and is still empty at the end is removed.
    """
    folder = Path(folder)
    check_links(folder)
    key = os.path.realpath(folder)
    if key in _held.get():
        yield False
        return
    made, mark, unfinished = _start(folder)
    token = _held.set(_held.get() | {key})
    try:
        if unfinished or not contents(folder):
            clear_partials(folder)
        yield unfinished
    finally:
        _held.reset(token)
        _drop(folder / MARK, mark)
        _remove_empty(made)


def check_links(path: Path) -> None:
    """ValueError if the path, or what it lies in, is a link that leads nowhere."""
    for place in (path, *path.absolute().parents):
        if place.is_symlink() and not place.exists():
            raise ValueError(
                f"{place} is a link to {os.readlink(place)}, which is not there; mount it, or name another folder."
            )


def contents(folder: PathLike) -> list[Path]:
    """What is in the folder but for marks and half files of ours; nothing for a folder that is not there."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.name != MARK and not PARTIAL.fullmatch(path.name)]


def tidy(parent: Path) -> None:
    """Clear away what ended runs left in the folders of a folder."""
    for mark in parent.glob(f"*/{MARK}"):
        try:
            with claimed(mark.parent):
                pass
            mark.parent.rmdir()
        except OSError:  # somebody writes there, or there are files in it
            continue


def was_ended(folder: PathLike) -> bool:
    """Whether a run was ended before it had written all that it wanted, or still writes."""
    return (Path(folder) / MARK).exists()


def clear_partials(folder: Path) -> None:
    """Remove half files and half folders of ours; they lie beside what they would have become."""
    for path in folder.iterdir():
        if PARTIAL.fullmatch(path.name):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _start(folder: Path) -> tuple[list[Path], IO[bytes], bool]:
    """New folders, the locked mark, and whether it was there; again where another run removes what it had made."""
    for _ in range(ATTEMPTS):
        try:
            return _make(folder), *_take(folder)
        except (FileNotFoundError, FileExistsError):  # whoever only tidies is gone soon
            time.sleep(PAUSE_S)
    return _make(folder), *_take(folder)


def _make(folder: Path) -> list[Path]:
    """Make the folder and those above it; gives those that are new, the innermost first."""
    missing = []
    place = folder
    while not place.exists():
        missing.append(place)
        place = place.parent
    made = []
    for place in reversed(missing):
        try:
            place.mkdir()
            made.insert(0, place)
        except FileExistsError:  # another run was quicker
            if not place.is_dir():
                raise
    return made


def _take(folder: Path) -> tuple[IO[bytes], bool]:
    """The open and locked mark, and whether it was there already."""
    while True:
        path = folder / MARK
        was_there = path.exists()
        mark = path.open("ab")
        try:
            _lock(mark)
        except OSError as error:
            mark.close()
            if isinstance(error, BlockingIOError | PermissionError):
                raise FolderInUse(
                    f"another run is writing into {folder}; wait for it, or name another folder."
                ) from None
            logger.warning("%s cannot be locked (%s); let no two runs write there at once.", folder, error)
            return path.open("ab"), was_there
        if _is_still(path, mark):  # not removed by its owner between opening and locking
            return mark, was_there
        mark.close()


def _is_still(path: Path, mark: IO[bytes]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(mark.fileno()))
    except FileNotFoundError:
        return False


def _drop(path: Path, mark: IO[bytes]) -> None:
    """Remove the mark while it is locked where that is possible; Windows removes closed files only."""
    if os.name == "nt":
        mark.close()
        try:
            path.unlink(missing_ok=True)
        except PermissionError:  # the next run has it already
            return
    else:
        path.unlink(missing_ok=True)
        mark.close()


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:  # there is something in it
            return


def _lock(mark: IO[bytes]) -> None:
    """Lock the file for as long as it is open; BlockingIOError or PermissionError if another has it."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        mark.seek(0)
        msvcrt.locking(mark.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
