"""Core nodes that read images and videos of the input folder."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...nodes.graph.host import FolderHost, Result, inside
from ...scene.files import IMAGE_SUFFIXES, find_files, is_video
from ...scene.picture import read_picture
from ...scene.video import VideoFrame, open_video, read_frames
from .batches import FLOAT32, take_bytes

NO_MASK = (1, 64, 64)  # what ComfyUI gives for an image without transparency


def run_load_image(host: FolderHost, *, image: str) -> Result:
    """(image (1, H, W, 3), mask (1, H, W)): upright; the mask is 1 where the image is transparent."""
    picture = read_picture(file_of(host, image), blend="none")
    mask = torch.zeros(NO_MASK) if picture.mask is None else 1 - _tensor(host, picture.mask)[None]
    return Result((_tensor(host, picture.image)[None], mask))


def run_load_mask(host: FolderHost, *, image: str, channel: str) -> Result:
    """(mask (1, H, W),): a colour of an image, or where it is transparent."""
    picture = read_picture(file_of(host, image), blend="none")
    if channel != "alpha":
        return Result((_tensor(host, picture.image)[None, ..., ("red", "green", "blue").index(channel)],))
    return Result((torch.zeros(NO_MASK) if picture.mask is None else 1 - _tensor(host, picture.mask)[None],))


def run_load_folder(host: FolderHost, *, folder: str) -> Result:
    """(images,): a list of (1, H, W, 3), in natural order of their names."""
    images = []
    for path in find_files(inside(host.input_folder, folder)):
        host.check_cancelled()
        images.append(_tensor(host, read_picture(path, blend="none").image)[None])
    return Result((images,))


def fingerprint_file(host: FolderHost, *, image: str = "", file: str = "", **options: Any) -> str:
    """Changes when the file does."""
    state = file_of(host, image or file).stat()
    return repr((state.st_mtime_ns, state.st_size))


def fingerprint_folder(host: FolderHost, *, folder: str) -> str:
    """Changes when a picture of the folder does."""
    files = sorted(inside(host.input_folder, folder).iterdir())
    pictures = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    return repr([(path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in pictures])


def run_load_video(host: FolderHost, *, file: str) -> Result:
    """(video,): not read yet."""
    path = file_of(host, file)
    if not is_video(path):
        raise ValueError(f"{path.name} is no video; choose one with an ending such as .mp4.")
    return Result((Video(path, host),))


def run_video_components(host: FolderHost, *, video: "Video") -> Result:
    """(images, audio, frames a second, bits, colour space); sound is not read."""
    found = video.get_components()
    return Result((found.images, None, found.frame_rate, 8, None))


@dataclass(frozen=True)
class Components:
    """What a video holds."""

    images: Tensor  # (N, H, W, 3)
    frame_rate: float


@dataclass(frozen=True)
class Video:
    """A VIDEO as ComfyUI's nodes take it."""

    path: Path
    host: FolderHost

    def get_components(self) -> Components:
        """All frames, if they fit."""
        info = open_video(self.path, self._checked)
        frames: list[Tensor] = []

        def accept(frame: VideoFrame) -> None:
            picture = torch.from_numpy(np.array(frame.picture.image))
            if frames and picture.shape != frames[0].shape:
                sizes = " and ".join(f"{each.shape[1]} x {each.shape[0]}" for each in (frames[0], picture))
                raise ValueError(f"The frames of {self.path.name} change their size ({sizes}): use Load Images.")
            take_bytes(self.host, picture.numel() * FLOAT32, "take fewer frames")
            frames.append(picture)

        read_frames(self.path, None, accept, self._checked)
        return Components(torch.stack(frames).float() / 255, info.frames_per_second)

    def _checked(self, stage: str, done: int, total: int) -> None:
        self.host.check_cancelled()


def file_of(host: FolderHost, name: str) -> Path:
    """The file of a name as ComfyUI writes it: photo.png, folder/photo.png, "photo.png [output]"."""
    match = re.fullmatch(r"(.+) \[(input|output|temp)\]", name, re.DOTALL)
    folder = {"input": host.input_folder, "output": host.output_folder, "temp": host.temp_folder}
    path = inside(folder[match[2]] if match else host.input_folder, match[1] if match else name)
    if not path.is_file():
        raise ValueError(f"{name!r} is no file of the input folder; put it there, or choose another.")
    return path


def _tensor(host: FolderHost, picture: Any) -> Tensor:
    """An image of Pillow's as (H, W, C) or (H, W), 0 to 1."""
    take_bytes(host, picture.width * picture.height * len(picture.getbands()) * FLOAT32)
    return torch.from_numpy(np.array(picture)).float().div_(255)
