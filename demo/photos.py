"""The photos, masks and video that a visitor has given, in the order they want, as folders that nodes read."""

import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from ..nodes.graph.loading import NO_MASKS, SAMPLES
from ..scene.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, natural_key, number_repeats
from ..scene.masks import check_mask_size, find_masks
from ..scene.picture import read_picture, read_size
from ..scene.picture_file import picture_frames
from ..scene.video import open_video, read_frames
from .names import ordered_names, safe_name

FOLDER, MASK_FOLDER = "photos", "masks"  # below the input folder, as Load Images names them
THUMBNAIL_PX = 240
MASK_NOTES = 4  # sentences about masks that are shown
MOST_BYTES = 4_000_000_000  # of all files of a visitor
SAMPLE_FOLDER = Path(__file__).resolve().parents[1] / "sample"


@dataclass(frozen=True)
class Photo:
    """One file of a picture, or of several: its id, the name that it had, where it lies, its size, perhaps a mask."""

    number: str
    name: str
    path: Path
    size: tuple[int, int]
    mask: Path | None = None
    views: int = 1  # pictures in the file, each of which is a view


class Photos:
    """What there is to reconstruct: photos in an order, or one video, or a sample of the pack."""

    def __init__(self, base: Path, most: int) -> None:
        self.input, self.store, self.thumbnails = base / "input", base / "store", base / "temp" / "thumbnails"
        self.most = most
        self.photos: list[Photo] = []
        self.video: Path | None = None
        self.sample: str | None = next(iter(SAMPLES))
        self.state = 0  # another number after every change
        for folder in (self.input, self.store, self.thumbnails):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def source(self) -> str:
        """How Load Images calls what there is; "" for nothing."""
        if self.sample is not None:
            return self.sample
        if self.video is not None:
            return self.video.name
        return FOLDER if self.photos else ""

    @property
    def is_untouched(self) -> bool:
        """Whether this is what every visitor begins with."""
        return self.sample == next(iter(SAMPLES))

    @property
    def masks(self) -> str:
        """How Load Images calls the folder of masks."""
        return MASK_FOLDER if self.sample is None and any(photo.mask for photo in self.photos) else NO_MASKS

    @property
    def count(self) -> int:
        """Photos, or 0 for a video."""
        return len(self.photos)

    def take_sample(self, name: str) -> None:
        """One of the bundled samples."""
        if name not in SAMPLES:
            raise ValueError(f"There is no sample {name!r}; choose {' or '.join(SAMPLES)}.")
        if name != self.sample:
            self.clear()
            self.sample = name

    def clear(self) -> None:
        """Nothing."""
        for folder in (self.store, self.thumbnails, self.input):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self.photos, self.video, self.sample = [], None, None
        self.state += 1

    @property
    def given(self) -> str:
        """What was given and cannot stay beside photos or a video of another kind: "3 photos", "the video a.mp4"."""
        if self.video is not None:
            return f"the video {self.video.name}"
        return f"{self.count} photo{'s' if self.count != 1 else ''}" if self.photos else ""

    def add(self, files: Sequence[tuple[Path, str]], replaces: bool = True) -> list[str]:
        """Take over uploaded files, (path, name), which are moved; sentences about those that could not be used.

        A video replaces what was there, photos replace a video or a sample; ValueError if nothing was of use, and
        without `replaces` also if the visitor's own photos or video would go.
        """
        videos = [each for each in files if Path(each[1]).suffix.lower() in VIDEO_SUFFIXES]
        if self.given and not replaces and (videos or self.video is not None):
            raise ValueError(
                f"{self.given[0].upper()}{self.given[1:]} would go; clear the list first, then give others."
            )
        if videos and len(files) > 1:
            raise ValueError(f"{safe_name(videos[0][1])} is a video among {len(files)} files; give one video alone.")
        if videos:
            self._add_video(*videos[0])
            return []
        added, problems = [], []
        self._check_bytes([path for path, _ in files])
        for path, name in files:
            try:
                added.append(self._taken(path, name))
            except ValueError as error:
                problems.append(str(error))
        if not added:
            raise ValueError(problems[0] if problems else "No file was given; choose photos or a video.")
        before = [] if self.sample is not None or self.video is not None else self.photos
        views = sum(photo.views for photo in (*before, *added))
        if views > self.most:
            for photo in added:
                shutil.rmtree(photo.path.parent)
            raise ValueError(f"These would be {views} photos; at most {self.most} can be used here.")
        if self.sample is not None or self.video is not None:
            self._forget_input()
        self.photos = [*before, *sorted(added, key=lambda photo: natural_key(photo.name))]
        self.state += 1
        several = [f"{photo.name} holds {photo.views} pictures: each is a view." for photo in added if photo.views > 1]
        return problems + several

    def add_masks(self, files: Sequence[tuple[Path, str]]) -> list[str]:
        """Masks named like the photos (a.png for a.jpg), or as many as there are photos in the same order."""
        if self.sample is not None or not self.photos:
            raise ValueError("Add your photos first; masks belong to photos of the same names.")
        folder = self.store / "masks"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        names = number_repeats([safe_name(name) for _, name in files])
        try:
            for (path, _), name in zip(files, names, strict=True):
                shutil.move(path, folder / name)
                read_size(folder / name)
            found, notes = self._masks_for_photos(folder)
        except ValueError:
            shutil.rmtree(folder)
            raise
        self.photos = [replace(photo, mask=mask) for photo, mask in zip(self.photos, found, strict=True)]
        self.state += 1
        return notes

    def remove_masks(self) -> None:
        """Photos without masks again."""
        self.photos = [replace(photo, mask=None) for photo in self.photos]
        self.state += 1

    def arrange(self, numbers: Sequence[str]) -> None:
        """Keep the photos of these ids, in this order."""
        if self.sample is not None:
            self._adopt_sample()
        known = {photo.number: photo for photo in self.photos}
        if len(set(numbers)) != len(numbers) or not set(numbers) <= set(known):
            raise ValueError("The list of photos is not up to date; load the page again.")
        for number in set(known) - set(numbers):
            shutil.rmtree(known[number].path.parent)
        self.photos = [known[number] for number in numbers]
        self.state += 1

    def write(self) -> None:
        """Put the photos into the folders that Load Images reads, named so that their order is that of the names."""
        if self.source != FOLDER:
            return
        names = ordered_names([photo.name for photo in self.photos])
        wanted = {self.input / FOLDER / name: photo.path for name, photo in zip(names, self.photos, strict=True)}
        for name, photo in zip(names, self.photos, strict=True):
            if photo.mask is not None:
                wanted[self.input / MASK_FOLDER / f"{name}{photo.mask.suffix}"] = photo.mask
        for folder in (FOLDER, MASK_FOLDER):
            (self.input / folder).mkdir(exist_ok=True)
            for path in (self.input / folder).iterdir():
                if path not in wanted or not path.samefile(wanted[path]):
                    path.unlink()
        for target, path in wanted.items():
            if not target.exists():
                link_or_copy(path, target)

    def thumbnail(self, photo: Photo) -> Path:
        """A small picture of a photo, made when it is first wanted."""
        target = self.thumbnails / f"{photo.number}.jpg"
        if not target.exists():
            picture = read_picture(photo.path, enough=THUMBNAIL_PX).image
            picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
            save_whole(picture, target)
        return target

    def video_thumbnail(self) -> Path:
        """A small picture of the video's first frame."""
        target = self.thumbnails / f"{self.video.stem}.jpg"
        if not target.exists():
            frames = []
            read_frames(self.video, [0], lambda frame: frames.append(frame.picture.image))
            picture = frames[0]
            picture.thumbnail((2 * THUMBNAIL_PX, 2 * THUMBNAIL_PX))
            save_whole(picture, target)
        return target

    def _adopt_sample(self) -> None:
        """The sample's photos as if they had been given, to be rearranged; their ids are their names."""
        names = sample_names(self.sample)
        self.clear()
        for name in names:
            (self.store / name).mkdir()
            shutil.copy(SAMPLE_FOLDER / name, self.store / name / name)
            self.photos.append(Photo(name, name, self.store / name / name, read_size(self.store / name / name)))

    def _masks_for_photos(self, folder: Path) -> tuple[list[Path | None], list[str]]:
        """A mask for each photo, and sentences on how they were found and on those that fit no photo."""
        names = number_repeats(photo.name for photo in self.photos)
        found, notes = find_masks(folder, names)
        masks: list[Path | None] = []
        for photo, name, mask in zip(self.photos, names, found, strict=True):
            try:
                file = mask.file()
                check_mask_size(file.name, read_size(file), name, photo.size)
                masks.append(file)
            except ValueError as error:
                masks.append(None)
                notes.append(f"{error} The whole photo is used.")
        more = [f"... and {len(notes) - MASK_NOTES} more photos."] if len(notes) > MASK_NOTES else []
        return masks, notes[:MASK_NOTES] + more

    def _check_bytes(self, paths: Sequence[Path]) -> None:
        size = sum(path.stat().st_size for path in (*paths, *(photo.path for photo in self.photos)))
        if size > MOST_BYTES:
            raise ValueError(
                f"These files have {size / 1e9:.1f} GB; at most {MOST_BYTES / 1e9:.0f} GB can be used here."
            )

    def _add_video(self, path: Path, name: str) -> None:
        kept = self.store / safe_name(name)
        shutil.move(path, kept)
        try:
            open_video(kept)
        except ValueError:
            kept.unlink()
            raise
        target = self.input / f"{secrets.token_hex(4)}{kept.suffix}"
        kept.rename(target)
        for photo in self.photos:
            shutil.rmtree(photo.path.parent)
        self._forget_input(but=target)
        final = self.input / kept.name
        target.rename(final)
        self.photos, self.video = [], final
        self.state += 1

    def _taken(self, path: Path, name: str) -> Photo:
        """The file as one of the photos; ValueError with a sentence if it is no picture."""
        name = safe_name(name)
        if Path(name).suffix.lower() not in IMAGE_SUFFIXES:
            raise ValueError(f"{name} is no photo or video; give files such as .jpg, .png or .mp4.")
        number = secrets.token_hex(8)
        kept = self.store / number
        kept.mkdir()
        try:
            shutil.move(path, kept / name)
            size, views = read_size(kept / name), len(picture_frames(kept / name))
            return Photo(number, name, kept / name, size, views=views)
        except ValueError:
            shutil.rmtree(kept)
            raise

    def _forget_input(self, but: Path | None = None) -> None:
        for path in self.input.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != but:
                path.unlink()
        self.video, self.sample = None, None


def sample_names(sample: str) -> list[str]:
    """The photos of a bundled sample; none if it is a video."""
    if SAMPLES[sample]:
        return []
    return sorted((path.name for path in SAMPLE_FOLDER.glob("*.jpg")), key=natural_key)


def save_whole(picture: Image.Image, target: Path) -> None:
    """Save a JPEG that nobody can see half written."""
    partial = target.with_name(f"{secrets.token_hex(4)}.part")
    picture.save(partial, format="JPEG", quality=82)
    partial.replace(target)


def link_or_copy(path: Path, target: Path) -> None:
    """The same file under another name, without a copy where the disk can do that."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copy2(path, target)
