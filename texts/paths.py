"""Paths as people write them: what is there under exactly that name goes before any reading of signs in it."""

import glob
import os
from pathlib import Path

PathLike = str | os.PathLike[str]


def named_path(path: PathLike) -> Path:
    """The path itself if something of that name is there, else with ~ or ~name as a home folder, if there is one."""
    path = Path(path)
    if not os.fspath(path).startswith("~") or is_there(path) or is_there(Path(path.parts[0])):
        return path
    try:
        return path.expanduser()
    except RuntimeError:  # there is no user of that name
        return path


def pattern_of(path: PathLike) -> str | None:
    """The path as a pattern for `glob`, or None if it is none.

    Folders at its beginning that are there under exactly that name, such as "[2024] trip", are no patterns.
    """
    path = named_path(path)
    if is_there(path) or not glob.has_magic(os.fspath(path)):
        return None
    parts = path.parts
    literal = next(n for n in range(len(parts), -1, -1) if n == 0 or is_there(Path(*parts[:n])))
    if not any(glob.has_magic(part) for part in parts[literal:]):
        return None
    start = [glob.escape(os.fspath(Path(*parts[:literal])))] if literal else []
    return os.path.join(*start, *parts[literal:])


def is_there(path: Path) -> bool:
    """Whether the path names something; a name that no file can have names nothing."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or a NUL; Python 3.10 to 3.13 differ in what they raise
        return False
