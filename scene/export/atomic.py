"""A file appears under its final name complete or not at all."""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .names import shortened_part

PathLike = str | os.PathLike[str]
PARTIAL = re.compile(r"\..*\.[0-9a-f]{8}\.partial", re.DOTALL)  # names of what is not finished
NAME_BYTES = 200


@contextmanager
def new_file(path: PathLike, overwrite: bool = False) -> Iterator[Path]:
    """A path beside `path` to write to; at the end it takes the final name, after an error or Ctrl-C it is removed."""
    path = Path(path)
    refuse_existing([path], overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    try:
        yield partial
        refuse_existing([path], overwrite)
        if overwrite or not _linked(partial, path):
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: PathLike, overwrite: bool = False) -> Iterator[Path]:
    """A folder beside `folder` to fill; at the end its files move to their final places, else it is removed.

    Files that were in the final folder and are not written anew stay as they are.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(folder)
    partial.mkdir()
    try:
        yield partial
        written = sorted(path.relative_to(partial) for path in partial.rglob("*") if path.is_file())
        refuse_existing([folder / path for path in written], overwrite)
        if not folder.exists():
            os.replace(partial, folder)
        else:
            for path in written:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(partial / path, folder / path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _linked(partial: Path, path: Path) -> bool:
    """Give the file its name unless something has it by now (FileExistsError); False where there are no hard links."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise FileExistsError(f"{path} exists already; choose another name or allow overwriting.") from None
    except OSError:
        return False
    return True


def refuse_existing(paths: list[Path], overwrite: bool) -> None:
    """Raises FileExistsError naming the first file that is there already, unless it may be overwritten."""
    for path in paths:
        if path.is_dir():
            raise FileExistsError(f"{path} is a folder, so no file of that name can be written; choose another name.")
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists already; choose another name or allow overwriting.")


def _partial(path: Path) -> Path:
    return path.with_name(f".{shortened_part(path.name, NAME_BYTES)}.{secrets.token_hex(4)}.partial")
