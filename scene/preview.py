"""Pictures by which a person judges a reconstruction: depth and confidence maps, and contact sheets of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..models.progress import Progress
from .export.atomic import PathLike, new_file, new_folder
from .export.depth import unique_stems
from .pointcloud import PointCloud
from .reconstruction import Reconstruction
from .render import overview, render_cloud
from .soundness import sound_with_cloud
from .verdict import confidence_of_views, verdict

# From low to high, even in lightness: far or doubtful is dark, near or trusted is light.
DEPTH_STOPS = (
    (13, 16, 45),
    (52, 32, 122),
    (128, 37, 130),
    (201, 56, 98),
    (241, 113, 58),
    (252, 181, 64),
    (252, 243, 178),
)
CONFIDENCE_STOPS = (
    (60, 12, 24),
    (160, 42, 44),
    (226, 128, 52),
    (238, 208, 96),
    (132, 196, 92),
    (30, 138, 98),
    (10, 84, 88),
)
UNUSED = (150, 150, 150)  # pixels without a depth, or masked out
PAPER, INK = (250, 250, 250), (40, 40, 40)
LABEL_PX = 16


def depth_pictures(reconstruction: Reconstruction) -> np.ndarray:
    """Depth of all frames as pictures (N, H, W, 3) uint8 on one scale: near is light, far is dark."""
    low, high = _log_depth_range(reconstruction)
    return np.stack([_depth_picture(reconstruction, frame, low, high) for frame in range(len(reconstruction))])


def depth_maps(reconstruction: Reconstruction) -> np.ndarray:
    """Nearness of all frames (N, H, W) float32 on one scale: 1 is near, 0 is far or has no depth."""
    low, high = _log_depth_range(reconstruction)
    with np.errstate(divide="ignore", invalid="ignore"):
        near = (high - np.log(reconstruction.depth)) / (high - low)
    usable = np.stack([reconstruction.usable(frame) for frame in range(len(reconstruction))])
    return np.where(usable, np.clip(near, 0, 1), 0).astype(np.float32)


def depth_picture(reconstruction: Reconstruction, frame: int) -> np.ndarray:
    """Depth of one frame as a picture (H, W, 3) uint8, on the scale of the whole scene."""
    return _depth_picture(reconstruction, frame, *_log_depth_range(reconstruction))


def confidence_pictures(reconstruction: Reconstruction) -> np.ndarray:
    """Confidence rank of all frames as pictures (N, H, W, 3) uint8: red is least trusted, green most."""
    ranks = reconstruction.confidence_rank()
    return np.stack([_confidence_picture(reconstruction, frame, ranks[frame]) for frame in range(len(reconstruction))])


def confidence_picture(reconstruction: Reconstruction, frame: int) -> np.ndarray:
    """Confidence rank of one frame within the scene as a picture (H, W, 3) uint8."""
    return _confidence_picture(reconstruction, frame, reconstruction.confidence_rank()[frame])


def colorize(values: np.ndarray, stops: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Colours (..., 3) uint8 of values in 0..1 along a row of evenly spaced colours."""
    table = np.array(stops, dtype=np.float64)
    fine = np.linspace(0, len(table) - 1, 1024)
    table = np.stack([np.interp(fine, np.arange(len(table)), channel) for channel in table.T], axis=1)
    place = np.nan_to_num(np.clip(values, 0, 1) * 1023)
    return np.rint(table).astype(np.uint8)[place.astype(np.int64)]


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray]], labels: Sequence[str] = (), *, tile_width: int = 256, gap: int = 6
) -> np.ndarray:
    """Pictures (H, W, 3) uint8 of rows as one, each `tile_width` wide; `labels` stand above the columns."""
    height = max(round(picture.shape[0] * tile_width / picture.shape[1]) for row in rows for picture in row)
    top = gap + LABEL_PX if labels else gap
    width = gap + max(len(row) for row in rows) * (tile_width + gap)
    sheet = Image.new("RGB", (width, top + len(rows) * (height + gap)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for column, label in enumerate(labels):
        draw.text((gap + column * (tile_width + gap), gap // 2), _fitting(label, tile_width, draw, font), INK, font)
    for line, row in enumerate(rows):
        for column, picture in enumerate(row):
            size = (tile_width, round(picture.shape[0] * tile_width / picture.shape[1]))
            tile = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
            sheet.paste(tile, (gap + column * (tile_width + gap), top + line * (height + gap)))
    return np.asarray(sheet)


def frames_sheet(
    reconstruction: Reconstruction, *, most: int = 24, columns: int = 6, tile_width: int = 224
) -> np.ndarray:
    """Image, depth and confidence rank of the frames below each other; of more than `most` frames an even choice.

    A label has the frame's number, its confidence (0: a guess, 1: sure) and its name; below them stands the verdict.
    """
    count = len(reconstruction)
    chosen = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
    low, high = _log_depth_range(reconstruction)
    ranks, confidence = reconstruction.confidence_rank(), confidence_of_views(reconstruction)
    bands = []
    for start in range(0, len(chosen), columns):
        part = chosen[start : start + columns]
        rows = [
            [reconstruction.images[frame] for frame in part],
            [_depth_picture(reconstruction, frame, low, high) for frame in part],
            [_confidence_picture(reconstruction, frame, ranks[frame]) for frame in part],
        ]
        labels = [f"{frame}, conf. {confidence[frame]:.2f}: {reconstruction.names[frame]}" for frame in part]
        sheet = contact_sheet(rows, labels, tile_width=tile_width)
        bands.append(sheet)
    width = max(band.shape[1] for band in bands)
    padded = [np.pad(band, ((0, 0), (0, width - band.shape[1]), (0, 0)), constant_values=PAPER[0]) for band in bands]
    return np.concatenate((*padded, _verdict_line(reconstruction, width)))


def write_previews(
    reconstruction: Reconstruction,
    cloud: PointCloud,
    folder: PathLike,
    *,
    maps: bool = True,
    size: tuple[int, int] = (1280, 960),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Writes cloud.png and cloud_top.png (rendered with cameras), frames.png (sheet of images, depth and confidence).

    With `maps` also depth/NAME.png and confidence/NAME.png of every frame. Returns all files.
    """
    folder = Path(folder)
    reconstruction, cloud = sound_with_cloud(reconstruction, cloud)
    from_top = overview(cloud, reconstruction, size=size, azimuth_degrees=0, elevation_degrees=85)
    pictures: dict[str, Callable[[], np.ndarray]] = {
        "cloud.png": lambda: render_cloud(cloud, reconstruction, size=size),
        "cloud_top.png": lambda: render_cloud(cloud, reconstruction, size=size, view=from_top),
        "frames.png": lambda: frames_sheet(reconstruction),
    }
    if maps:
        low, high = _log_depth_range(reconstruction)
        ranks = reconstruction.confidence_rank()
        for frame, stem in enumerate(unique_stems(reconstruction.names)):
            pictures[f"depth/{stem}.png"] = lambda frame=frame: _depth_picture(reconstruction, frame, low, high)
            pictures[f"confidence/{stem}.png"] = lambda frame=frame: _confidence_picture(
                reconstruction, frame, ranks[frame]
            )
    with new_folder(folder, overwrite) as partial:
        for done, (name, picture) in enumerate(pictures.items(), start=1):
            (partial / name).parent.mkdir(exist_ok=True)
            Image.fromarray(picture()).save(partial / name, compress_level=4)
            if progress is not None:
                progress("previews", done, len(pictures))
    return [folder / name for name in pictures]


def _verdict_line(reconstruction: Reconstruction, width: int) -> np.ndarray:
    """The verdict as a band of text (LABEL_PX, width, 3)."""
    found = verdict(reconstruction)
    band = Image.new("RGB", (width, LABEL_PX), PAPER)
    draw, font = ImageDraw.Draw(band), ImageFont.load_default()
    text = f"verdict: {found.level}; confidence {found.confidence:.2f}; colours of it: rank in the scene"
    draw.text((6, 2), _fitting(text, width - 12, draw, font), INK, font)
    return np.asarray(band)


def write_picture(picture: np.ndarray, path: PathLike, overwrite: bool = False) -> None:
    """Writes a picture (H, W, 3) uint8 as PNG."""
    with new_file(path, overwrite) as partial:
        Image.fromarray(picture).save(partial, format="PNG")


def _log_depth_range(reconstruction: Reconstruction) -> tuple[float, float]:
    """Logarithms of the depths between which colours change: nearly all of the scene."""
    step = max(1, reconstruction.depth[0].size * len(reconstruction) // 500_000)
    frames = range(len(reconstruction))
    values = np.concatenate([reconstruction.depth[i][reconstruction.usable(i)][::step] for i in frames])
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(np.log(values), (1, 99))
    return float(low), float(max(high, low + 1e-4))


def _depth_picture(reconstruction: Reconstruction, frame: int, low: float, high: float) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        picture = colorize((high - np.log(reconstruction.depth[frame])) / (high - low), DEPTH_STOPS)
    picture[~reconstruction.usable(frame)] = UNUSED
    return picture


def _confidence_picture(reconstruction: Reconstruction, frame: int, rank: np.ndarray) -> np.ndarray:
    picture = colorize(rank, CONFIDENCE_STOPS)
    picture[~reconstruction.usable(frame)] = UNUSED
    return picture


def _fitting(label: str, width: int, draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont) -> str:
    label = label.encode("latin-1", "replace").decode("latin-1")  # all that the built-in font may have
    while label and draw.textlength(label, font) > width:
        label = label[:-1]
    return label
