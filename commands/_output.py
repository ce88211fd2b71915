"""The folder of a command's results: checked and taken before the long work begins."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from ..texts.paths import is_there, named_path, pattern_of


@contextmanager
def taken_folder(inputs: list[str], wanted: Path | None, overwrite: bool) -> Iterator[tuple[Path, bool]]:
    """The folder to write to, which nobody else writes to meanwhile, and whether files in it may be replaced.

    It is there from now on; if nothing is written, it is removed again.
    """
    from ..scene.export.claim import FolderInUse, claimed, contents

    with ExitStack() as stack:
        for folder in [wanted] if wanted is not None else default_folders(inputs, overwrite):
            check_folder(folder, overwrite or wanted is None)
            try:
                ended = stack.enter_context(claimed(folder))
            except FolderInUse:
                if wanted is not None:
                    raise
                continue
            if contents(folder) and not (overwrite or ended):
                if wanted is not None:
                    raise FileExistsError(not_empty(folder))
                continue
            if ended and contents(folder):
                print(f"note: {folder} has files of a run that was ended; they are replaced.")
            yield folder, overwrite or ended
            return


def output_folder(inputs: list[str], wanted: Path | None, overwrite: bool) -> Path:
    """The folder to write to as things are now; ValueError or FileExistsError if it is not to be had.

    As far as can be told without making it.
    """
    folder = next(default_folders(inputs, overwrite)) if wanted is None else wanted
    check_folder(folder, overwrite or wanted is None)
    return folder


def check_folder(folder: Path, overwrite: bool) -> None:
    """ValueError or FileExistsError if results cannot be written there."""
    from ..scene.export.claim import contents, was_ended

    check_place(folder)
    if contents(folder) and not overwrite and not was_ended(folder):
        raise FileExistsError(not_empty(folder))


def check_place(folder: Path) -> None:
    """ValueError if no folder of that name can be made or written to, as far as can be told without trying."""
    from ..scene.export.claim import check_links

    check_links(folder)
    there = next(path for path in (folder, *folder.absolute().parents) if is_there(path))
    if not there.is_dir():
        raise ValueError(f"--out {folder} cannot be: {there} is a file; name a folder.")
    if not os.access(there, os.W_OK):
        raise ValueError(f"nothing can be written to {there}; name another folder with --out.")


def default_folders(inputs: list[str], overwrite: bool) -> Iterator[Path]:
    """output/NAME, output/NAME-2 ...: those that hold nothing, or all that are no files with `overwrite`."""
    from ..scene.export.claim import contents
    from ..scene.export.names import portable_part

    first = Path("output") / portable_part(result_name(inputs))
    for number in count(1):
        folder = first if number == 1 else first.with_name(f"{first.name}-{number}")
        if not folder.is_file() and (overwrite or not contents(folder)):
            yield folder


def result_name(inputs: list[str]) -> str:
    """The name of a folder as it is, of a file without its ending; "scene" for several inputs and for patterns."""
    if len(inputs) > 1 or pattern_of(inputs[0]) is not None:
        return "scene"
    path = named_path(inputs[0])
    if not is_there(path):
        return "scene"  # what is missing is told when it is looked for
    path = path.resolve()
    return (path.name if path.is_dir() else path.stem) or "scene"


def not_empty(folder: Path) -> str:
    """What to say of a folder with files in it."""
    return f"the folder {folder} is not empty; name another with --out, or add --overwrite."
