"""Damaged and hostile pictures give an image or one sentence; what is read can be copied upright.

A campaign, which also says what the worst cases cost: pytest tests/fuzz/test_pictures.py --fuzz-cases 5000 -s
"""

import functools
import io
import random
import time
import zlib
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from manyview.scene.images import load_images
from manyview.scene.originals import Originals
from manyview.scene.picture import read_mask, read_picture, read_size, read_time
from manyview.scene.picture_file import open_picture

WORDS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0xFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
MODES = ("keep", "crop", "pad", "square", "pi3")
CPU_SECONDS = 10.0


@functools.cache
def samples():
    """A small picture of each kind, as bytes, by a file name."""
    chance = np.random.default_rng(0)
    small = Image.fromarray(chance.integers(0, 255, (6, 8, 3), np.uint8)).resize((48, 36))
    grey, alpha = small.convert("L"), small.convert("RGBA")
    alpha.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 256)
    real = Image.fromarray(np.asarray(grey).astype(np.float32))
    turned = Image.Exif()
    turned[0x0112], turned[0x010F] = 6, "camera"
    more = {"save_all": True, "append_images": ()}
    made = {
        "a.jpg": (small, {}),
        "progressive.jpg": (small, {"progressive": True}),
        "turned.jpg": (small, {"exif": turned}),
        "cmyk.jpg": (small.convert("CMYK"), {"progressive": True}),
        "grey.jpg": (grey, {}),
        "stereo.mpo": (small, more),
        "a.png": (small, {"exif": turned}),
        "alpha.png": (alpha, {}),
        "palette.png": (small.quantize(16), {"bits": 4}),
        "deep.png": (deep, {}),
        "walk.png": (small, more),
        "a.gif": (small.quantize(64), {}),
        "walk.gif": (small, more),
        "a.tif": (small, {"exif": turned}),
        "pages.tif": (small, more),
        "lzw.tif": (alpha, {"compression": "tiff_lzw"}),
        "jpeg.tif": (small, {"compression": "jpeg"}),
        "real.tif": (real, {"compression": "tiff_deflate"}),
        "big.tif": (deep, {"big_tiff": True}),
        "cmyk.tif": (small.convert("CMYK"), {}),
        "a.bmp": (small, {}),
        "palette.bmp": (small.quantize(16), {}),
        "a.tga": (small, {"compression": "tga_rle"}),
        "a.ppm": (small, {}),
        "a.pgm": (grey, {}),
        "a.webp": (small, {"exif": turned}),
        "lossless.webp": (alpha, {"lossless": True}),
        "walk.webp": (small, more),
        "a.jp2": (small, {"num_resolutions": 3}),
        "tiles.j2k": (grey, {"tile_size": (16, 16), "num_resolutions": 2}),
    }
    if find_spec("PIL.AvifImagePlugin") is not None and features.check("avif"):
        made |= {"a.avif": (small, {"speed": 10}), "walk.avif": (small, {"speed": 10, **more})}
    result = {"packed.bmp": packed_bitmap()}
    for name, (image, options) in made.items():
        options, file = dict(options), io.BytesIO()
        if "append_images" in options:  # saving leaves its traces on images
            options["append_images"] = [small.rotate(90), small.rotate(180)][: 1 if name == "stereo.mpo" else 2]
        image.copy().save(file, format=Image.registered_extensions()[Path(name).suffix], **options)
        result[name] = file.getvalue()
    return result


def packed_bitmap():
    """A BMP of 40 x 30 pixels with run-length coding."""
    rows = b"".join(b"\x28" + bytes([row]) + b"\0\0" for row in range(30)) + b"\0\1"
    numbers = [(40, 4), (40, 4), (30, 4), (1, 2), (8, 2), (1, 4), (len(rows), 4), (0, 4), (0, 4), (256, 4), (0, 4)]
    header = b"".join(number.to_bytes(size, "little") for number, size in numbers)
    start = 14 + 40 + 1024
    return (
        b"BM"
        + (start + len(rows)).to_bytes(4, "little")
        + bytes(4)
        + start.to_bytes(4, "little")
        + header
        + (bytes(1024) + rows)
    )


def mutated(data, chance):
    """The bytes with one to three changes of the kinds that break decoders."""
    data = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data)) if chance.random() < 0.7 else chance.randrange(min(len(data), 160))
        match chance.randrange(7):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                size = chance.choice((1, 2, 4))
                word = chance.choice(WORDS) & (1 << 8 * size) - 1
                data[at : at + size] = word.to_bytes(size, chance.choice(("big", "little")))
            case 2:
                data[at : at + 2] = chance.randrange(1 << 16).to_bytes(2, "big")
            case 3:
                length = chance.randint(1, 60)
                data[at : at + length] = chance.randbytes(length)
            case 4 if chance.random() < 0.5:
                del data[max(16, at) :]
            case 5:
                data[at:at] = data[at : at + chance.randint(1, 300)]
            case 6:
                del data[at : at + chance.randint(1, 12)]
    return bytes(data) if chance.random() < 0.2 else with_checksums(bytes(data))


def with_checksums(data):
    """A PNG whose chunks have the sums that belong to them, so that what is in them is looked at."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    at, parts = 8, [data[:8]]
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        parts.append(data[at : at + 4] + body + zlib.crc32(body).to_bytes(4, "big"))
        at += 12 + length
    return b"".join(parts)


def outcome(path, mode, folder):
    """Reads a picture as everything in here does: "read", or the sentence."""
    for read in (read_size, read_picture, read_mask):
        try:
            read(path)
        except ValueError as error:
            assert "\n" not in str(error) and path.name in str(error)
    read_time(path)
    try:
        loaded = load_images(path, resize=mode, resolution=28, pixel_limit=28 * 28, limit=3)
    except ValueError as error:
        assert "\n" not in str(error) and path.name in str(error)
        return str(error)
    assert np.isfinite(loaded.scale_offset).all()
    check_copies(loaded, folder)
    return "read"


def check_copies(loaded, folder):
    """Each view's original can be written, upright and in the size that the scene knows."""
    with Originals() as originals:
        for number, (path, size, frame) in enumerate(
            zip(loaded.paths, loaded.original_sizes.tolist(), loaded.video_frames, strict=True)
        ):
            target = folder / f"{number}{'.png' if frame is not None else path.suffix}"
            try:
                if not originals.write(path, target, tuple(size), frame):
                    target = target.with_name(target.name + ".png")
                    assert originals.write(path, target, tuple(size), frame)
            except ValueError as error:
                assert path.name in str(error)
                continue
            with open_picture(target) as copy:
                assert list(copy.upright_size()) == size
                if copy.image.format not in ("PNG", "TIFF"):
                    assert copy.orientation() == 1


def test_mutated_pictures(tmp_path, fuzz_cases):
    made = samples()
    names, counts, worst = list(made), Counter(), (0.0, "")
    (tmp_path / "copies").mkdir()
    for seed in range(fuzz_cases):
        chance = random.Random(seed)
        name = names[seed % len(names)]
        path = tmp_path / f"{seed}_{name}"
        path.write_bytes(mutated(made[name], chance))
        started = time.process_time()
        result = outcome(path, chance.choice(MODES), tmp_path / "copies")
        worst = max(worst, (time.process_time() - started, path.name))
        counts["read" if result == "read" else "sentence"] += 1
        path.unlink()
    print(f"\n{dict(counts)}, slowest {worst[0]:.2f} s of CPU: {worst[1]}, peak memory {peak_mib():.0f} MiB")


@pytest.mark.parametrize("name", samples())
def test_the_pictures_themselves_are_read(tmp_path, name):
    (tmp_path / name).write_bytes(samples()[name])
    assert outcome(tmp_path / name, "keep", tmp_path) == "read"


def peak_mib():
    """Most memory that this process has had; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
