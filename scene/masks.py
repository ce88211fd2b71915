"""Masks beside images: which file belongs to which image, and what it leaves out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..texts.paths import PathLike, named_path
from .files import natural_key, pictures_in

ASPECT_TOLERANCE = 0.02
MOST_FOLDERS = 4  # of an image's path that are looked for in the folder of masks


@dataclass(frozen=True)
class FoundMask:
    """The mask of an image, or a sentence that says why it has none."""

    path: Path | None
    problem: str = ""

    def file(self) -> Path:
        """The mask; ValueError with the sentence if there is none."""
        if self.path is None:
            raise ValueError(self.problem)
        return self.path


def find_masks(
    source: PathLike, names: Sequence[str], paths: Sequence[Path | None] = ()
) -> tuple[list[FoundMask], list[str]]:
    """A mask for each image by its name and, where they are told apart, its folder; and notes on how they were found.

    source: one file for all images, or a folder. In the folder, cam1/0001.jpg has cam1/0001.png or, if that is the
    only image of its name, 0001.png; any ending will do, or one added as in 0001.jpg.png. A mask named like an
    animation or a video is that of all its frames that have none of their own. Where no name fits, one mask serves
    all images, and as many as there are images serve them in natural order. Else ValueError.
    """
    source = named_path(source)
    if source.is_file():
        return [FoundMask(source)] * len(names), []
    if not source.is_dir():
        raise ValueError(f"The folder of masks {source} does not exist.")
    paths = paths or [None] * len(names)
    whole = [_whole_name(name, path) for name, path in zip(names, paths, strict=True)]
    files = [each if path is None else each.with_name(path.name) for each, path in zip(whole, paths, strict=True)]
    index = _Index(source)
    found = [index.nested(each) or index.nested(file) for each, file in zip(whole, files, strict=True)]
    flat = [
        None if mask else index.flat(each.name) or index.flat(file.name)
        for mask, each, file in zip(found, whole, files, strict=True)
    ]
    if any(found) or any(flat):
        return _without_doubt(names, whole, found, flat), []
    files = pictures_in(source)
    if len(files) == 1 and len(names) > 1:
        return [FoundMask(files[0])] * len(names), [
            f"The one mask {files[0].name} is used for all {len(names)} images."
        ]
    if len(files) == len(names) > 1:
        note = f"No mask has the name of an image; as there are {len(files)} of both, they are paired in their order."
        return [FoundMask(file) for file in sorted(files, key=lambda path: natural_key(path.name))], [note]
    raise ValueError(f"No mask in {source} has the name of an image (such as {Path(names[0]).stem}.png).")


def check_mask_size(mask: str, mask_size: tuple[int, int], image: str, size: tuple[int, int]) -> None:
    """ValueError unless a mask has the shape of its image; it may be smaller or larger."""
    if abs(mask_size[0] * size[1] / (mask_size[1] * size[0]) - 1) > ASPECT_TOLERANCE:
        raise ValueError(f"The mask {mask} is {mask_size[0]} x {mask_size[1]}, but {image} is {size[0]} x {size[1]}.")


class _Index:
    """The masks of a folder and of the folders in it, by names without regard to case."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[tuple[str, ...], dict[str, Path]] = {}

    def nested(self, name: PurePosixPath) -> Path | None:
        """The mask in the folder of the same name as the image's, with as many of its parents as there are."""
        parents = name.parts[:-1][-MOST_FOLDERS:]
        for first in range(len(parents)):
            if mask := self._find(parents[first:], name.name):
                return mask
        return None

    def flat(self, name: str) -> Path | None:
        """The mask that lies in the folder itself."""
        return self._find((), name)

    def _find(self, parents: tuple[str, ...], name: str) -> Path | None:
        if parents not in self._known:
            self._known[parents] = self._files(self.folder.joinpath(*parents))
        files, name = self._known[parents], name.casefold()
        return files.get(name) or files.get(f"{name}/") or files.get(f"{Path(name).stem}/")

    def _files(self, folder: Path) -> dict[str, Path]:
        """By whole name, and by name without ending and a slash after it."""
        if not folder.is_dir():
            return {}
        files = {path.name.casefold(): path for path in reversed(pictures_in(folder))}
        return {f"{Path(name).stem}/": path for name, path in files.items()} | files


def _whole_name(name: str, path: Path | None) -> PurePosixPath:
    """The image's name after the folders that lead to it, as far as they are known."""
    own = PurePosixPath(name.replace("\\", "/"))
    if path is None:
        return own
    is_photo = own.suffix == path.suffix  # and no frame, which has a name of its own
    return PurePosixPath(*path.absolute().parts[1:-1], path.name if is_photo else own.name)


def _without_doubt(
    names: Sequence[str], whole: Sequence[PurePosixPath], nested: Sequence[Path | None], flat: Sequence[Path | None]
) -> list[FoundMask]:
    """A flat mask that images of several folders could have serves none of them."""
    folders: dict[Path, set[PurePosixPath]] = {}
    for each, mask in zip(whole, flat, strict=True):
        if mask is not None:
            folders.setdefault(mask, set()).add(each.parent)
    found = []
    for name, each, own, shared in zip(names, whole, nested, flat, strict=True):
        if own is None and shared is not None and len(folders[shared]) > 1:
            place = f"{each.parent.name}/{shared.name}"
            found.append(
                FoundMask(
                    None,
                    f"{name} has no mask of its own: {shared.name} could belong to images of {len(folders[shared])} "
                    f"folders; put it at {place} in the folder of masks.",
                )
            )
        elif own is None and shared is None:
            found.append(FoundMask(None, f"{name} has no mask in the folder of masks."))
        else:
            found.append(FoundMask(own or shared))
    return found
