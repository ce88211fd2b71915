"""Depth maps as files, one per frame, at the model's resolution; pixels without a depth or masked out hold 0.

png: 16 bits; depth in scene units = value * scale. The scale is the same for all frames and stands in depth.json and in
     each file's text entry "depth_scale".
exr: 32-bit float, one channel "Z", ZIP compression.
npy: float32 arrays (H, W).
"""

import json
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..reconstruction import Reconstruction
from ..soundness import sound
from .atomic import PathLike, new_folder
from .names import portable_names

FORMATS = ("png", "exr", "npy")
EXR_LINES = 16  # scan lines in one ZIP block


def write_depth(
    reconstruction: Reconstruction,
    folder: PathLike,
    format: Literal["png", "exr", "npy"] = "png",
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Writes one file per frame, named after its image, and depth.json; returns the files in frame order."""
    if format not in FORMATS:
        raise ValueError(f"Depth is written as one of {', '.join(FORMATS)}, got {format!r}.")
    folder, reconstruction = Path(folder), sound(reconstruction)
    frames = range(len(reconstruction))
    highest = max(float(_cleaned(reconstruction, frame).max()) for frame in frames)
    scale = (highest or 1.0) / 65535
    names = [f"{stem}.{format}" for stem in unique_stems(reconstruction.names)]
    with new_folder(folder, overwrite) as partial:
        for frame, name in zip(frames, names, strict=True):
            depth = _cleaned(reconstruction, frame)
            if format == "png":
                _write_png(depth, scale, partial / name)
            elif format == "exr":
                write_exr(depth, partial / name)
            else:
                np.save(partial / name, depth)
        about = {"format": format, "scale": scale if format == "png" else 1.0, "invalid": 0}
        about["frames"] = dict(zip(names, reconstruction.names, strict=True))
        (partial / "depth.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return [folder / name for name in names]


def unique_stems(names: tuple[str, ...]) -> list[str]:
    """File name stems for frames: without folders and suffix, numbered where two would be the same."""
    return portable_names(names, folders=False, ending="")


def write_exr(depth: np.ndarray, path: Path) -> None:
    """OpenEXR 2.0 file of one float channel "Z", in blocks of 16 lines compressed with ZIP."""
    height, width = depth.shape
    box = np.array([0, 0, width - 1, height - 1], dtype="<i4").tobytes()
    channels = b"Z\0" + np.array([2, 0, 1, 1], dtype="<i4").tobytes() + b"\0"  # float, linear flag, samplings
    header = b"\x76\x2f\x31\x01" + np.array([2], dtype="<i4").tobytes()
    for name, kind, value in (
        (b"channels", b"chlist", channels),
        (b"compression", b"compression", b"\x03"),
        (b"dataWindow", b"box2i", box),
        (b"displayWindow", b"box2i", box),
        (b"lineOrder", b"lineOrder", b"\0"),
        (b"pixelAspectRatio", b"float", np.array([1], dtype="<f4").tobytes()),
        (b"screenWindowCenter", b"v2f", np.zeros(2, dtype="<f4").tobytes()),
        (b"screenWindowWidth", b"float", np.array([1], dtype="<f4").tobytes()),
    ):
        header += name + b"\0" + kind + b"\0" + np.array([len(value)], dtype="<i4").tobytes() + value
    header += b"\0"
    blocks = []
    for line in range(0, height, EXR_LINES):
        packed = _exr_zip(depth[line : line + EXR_LINES].astype("<f4").tobytes())
        blocks.append(np.array([line, len(packed)], dtype="<i4").tobytes() + packed)
    sizes = np.array([0] + [len(block) for block in blocks[:-1]], dtype=np.uint64)
    offsets = len(header) + 8 * len(blocks) + np.cumsum(sizes)
    path.write_bytes(header + offsets.astype("<u8").tobytes() + b"".join(blocks))


def _exr_zip(raw: bytes) -> bytes:
    """Bytes as the format wants them: even ones first, then odd ones, as differences plus 128, deflated if smaller."""
    data = np.frombuffer(raw, dtype=np.uint8)
    data = np.concatenate((data[0::2], data[1::2])).astype(np.int16)
    data[1:] = (data[1:] - data[:-1] + 128) % 256
    packed = zlib.compress(data.astype(np.uint8).tobytes(), 4)
    return packed if len(packed) < len(raw) else raw


def _write_png(depth: np.ndarray, scale: float, path: Path) -> None:
    text = PngInfo()
    text.add_text("depth_scale", repr(scale))
    values = np.rint(depth / scale).clip(0, 65535).astype(np.uint16)
    values[(depth > 0) & (values == 0)] = 1  # 0 means: nothing known
    Image.fromarray(values).save(path, format="PNG", pnginfo=text, compress_level=4)


def _cleaned(reconstruction: Reconstruction, frame: int) -> np.ndarray:
    return np.where(reconstruction.usable(frame), reconstruction.depth[frame], 0).astype(np.float32)
