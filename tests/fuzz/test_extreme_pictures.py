"""Extreme but valid pictures are read; those that promise more than they hold are refused before they cost much."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from manyview.scene.images import images_from_arrays, load_images
from manyview.scene.picture import read_picture, read_size

MODES = ("keep", "crop", "pad", "square", "pi3")


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def png(width, height, bits=8, color=2, rows=None):
    """A PNG of zeros, made without the picture; fewer rows than promised if `rows` is given."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (width * bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color] + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))]
    parts += [(b"PLTE", bytes(3 << bits))] if color == 3 else []
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in [*parts, (b"IDAT", data), (b"IEND", b"")]
    )


def webp(width, height):
    """A lossless WebP of one colour in 34 bytes."""
    bits = struct.pack("<BI", 0x2F, (width - 1) | (height - 1) << 14) + bytes.fromhex(
        "07101 1fd0f4444ff03".replace(" ", "")
    )
    bits += bytes(len(bits) % 2)
    return b"RIFF" + struct.pack("<I", 12 + len(bits)) + b"WEBPVP8L" + struct.pack("<I", len(bits)) + bits


def jpeg2000(width, height, promised=None, cut=0):
    """A JPEG 2000 file of one colour; its boxes can promise another size, and its end can be cut off."""
    data = bytearray(encoded(Image.new("RGB", (64, 64), (9, 99, 200)), "JPEG2000", num_resolutions=1))
    at = data.index(b"ihdr") + 4
    data[at : at + 8] = struct.pack(">II", *(promised or (height, width)))
    at = data.index(b"\xff\x51") + 6
    data[at : at + 8] = struct.pack(">II", width, height)
    data[at + 16 : at + 24] = struct.pack(">II", width, height)
    return bytes(data[: len(data) - cut])


def jpeg(width, height, **options):
    """A JPEG whose header says another size than its data have."""
    data = bytearray(encoded(Image.new("RGB", (16, 16)), "JPEG", **options))
    at = max(data.find(mark) for mark in (b"\xff\xc0\0", b"\xff\xc2\0"))
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def tiff(width, height, bits, form, strip_rows, compression=8, entries=()):
    """A grey TIFF of one compressed strip of zeros, or as many as given; all tags are words of 4 bytes."""
    data = zlib.compress(bytes(1000))
    tags = {256: width, 257: height, 258: bits, 259: compression, 262: 1, 273: 8, 277: 1, 278: strip_rows}
    tags |= {279: len(data), 339: form, **dict(entries)}
    start = 8 + len(data) + len(data) % 2
    head = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return (
        b"II*\0"
        + struct.pack("<I", start)
        + data.ljust(start - 8, b"\0")
        + struct.pack("<H", len(tags))
        + head
        + bytes(4)
    )


def scans(count):
    """A progressive JPEG of 512 x 512 whose last scan comes again and again."""
    data = encoded(Image.effect_noise((512, 512), 30), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    return data[:-2] + data[at:-2] * count + b"\xff\xd9"


def gif(width, height, frames=1, comment=0):
    data = bytearray(encoded(Image.new("P", (8, 8)), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    at = data.index(b",", 13 + (3 << (data[10] & 7) + 1))
    return bytes(data[:at]) + b"!\xfe" + b"\xff".ljust(256, b" ") * comment + b"\0" + bytes(data[at:-1]) * frames + b";"


READ = {
    "one.png": png(1, 1),
    "one_row.png": png(90, 1),
    "one_column.png": png(1, 90),
    "hundred_to_one.png": png(3000, 30),
    "one_to_hundred.png": png(30, 3000),
    "wide.png": png(8000, 100, color=0),
    "high.png": png(100, 8000, color=0, bits=1),
    "bits.png": png(1200, 1200, bits=1, color=0),
    "palette.png": png(1500, 1000, bits=2, color=3),
    "deep.png": png(900, 600, bits=16, color=2),
    "grey_alpha.png": encoded(Image.new("LA", (300, 200), (9, 255)), "PNG"),
    "lab.tif": encoded(Image.new("LAB", (30, 20)), "TIFF"),
    "bits.tif": encoded(Image.new("1", (900, 700)), "TIFF", compression="group4"),
    "empty_edges.gif": gif(900, 700),
    "webp.webp": webp(600, 500),
    "solid.jp2": encoded(Image.new("RGB", (500, 300), (9, 99, 200)), "JPEG2000"),
}
REFUSED = {
    "x29.png": (png(80, 30_000), "the longer side may be at most 100 times"),
    "rows.png": (png(65_535, 1), "the longer side may be at most 100 times"),
    "column.png": (png(1, 65_535), "the longer side may be at most 100 times"),
    "strip.png": (png(52_560, 60), "the longer side may be at most 100 times"),
    "large.png": (png(20_000, 20_000, color=0, rows=1), "is too large (20000 x 20000"),
    "colour.png": (png(16_000, 16_000, rows=1), "is too large (16000 x 16000"),
    "none.png": (png(2**31 - 1, 2**31 - 1, rows=0), "is too large"),
    "short.png": (png(900, 900, rows=899), "damaged or cut off"),
    "bomb.webp": (webp(16_383, 16_383), "is too large (16383 x 16383"),
    "large.jp2": (jpeg2000(17_000, 17_000), "is too large (17000 x 17000"),
    "two_sizes.jp2": (jpeg2000(64, 64, promised=(9000, 9000)), "its header says 9000 x 9000, its data 64 x 64"),
    "cut.jp2": (jpeg2000(64, 64, cut=20), "not all of its tiles are there"),
    "lie.jpg": (jpeg(60_000, 60_000), "there is no data for them"),
    "progressive.jpg": (jpeg(20_000, 20_000, progressive=True), "there is no data for them"),
    "scans.jpg": (scans(300), "scans, where 200 are allowed"),
    "real.tif": (tiff(18_000, 18_000, 32, 3, 18_000), "is too large (18000 x 18000"),
    "strip.tif": (tiff(300, 300, 8, 1, 2**31), "damaged or cut off"),
    "pixels.tif": (tiff(2**31 - 1, 2, 8, 1, 2), "the longer side may be at most 100 times"),
    "canvas.gif": (gif(65_535, 65_535), "is too large (65535 x 65535"),
    "frames.gif": (gif(8, 8, frames=6000), "more than 5,000 pictures"),
    "film.gif": (gif(4000, 3000, frames=200), "200 pictures of 4000 x 3000"),
    "comment.gif": (gif(8, 8, comment=9000), "too many parts"),
    "chunks.png": (png(8, 8)[:33] + b"\0\0\0\0teXt\0\0\0\0" * 40_000 + png(8, 8)[33:], "too many parts"),
    "markers.jpg": (b"\xff\xd8" + b"\xff\xfe\0\x02" * 30_000, "its header is incomplete"),
    "fill.jpg": (b"\xff\xd8" + b"\xff" * 100_000, "its header is incomplete"),
    "text.ppm": (b"P3\n4 4\n255\n" + b"0 " * 48, "written as text"),
    "text.jpg": (b"P1\n4 4\n" + b"0 " * 16, "written as text"),
    "comment.ppm": (b"P6 #" + b" " * 9000 + b"\n4 4 255 " + bytes(48), "damaged or cut off"),
    "scaled.ppm": (b"P5 4000 4000 100 " + bytes(16_000_000), "is too large (4000 x 4000"),
    "gs_photo.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n", "is a PostScript file"),
    "dos.png": (b"\xc5\xd0\xd3\xc6" + bytes(60), "is a PostScript file"),
    "icon.jpg": (b"/* XPM */\nstatic char * icon[] = {", "is an XPM icon"),
    "icon.png": (b"#define icon_width 16\n", "is an XBM icon"),
    "paper.jpg": (b"%PDF-1.7\n", "is a PDF document"),
    "layers.tif": (b"8BPS\0\1" + bytes(60), "is a Photoshop file"),
    "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is a drawing"),
    "new.jpg": (b"\xff\x0a" + bytes(60), "is a JPEG XL picture"),
    "archive.jpg": (b"PK\x03\x04" + bytes(60), "is a zip archive"),
}
CAMERA_FILES = {
    "a.jpg": b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02",
    "b.png": b"\0\0\x01\xba\x44",
    "c.tif": b"".join(b"G".ljust(188, b"\1") for _ in range(4)),
    "d.jpg": b"\0\0\0\x18ftypisom",
    "e.jpg": b"RIFF\0\0\0\0AVI LIST",
    "f.gif": b"\x1aE\xdf\xa3",
    "g.bmp": b"0&\xb2u\x8ef\xcf\x11",
}


@pytest.mark.parametrize("name", READ)
def test_extreme_pictures_are_read_in_every_mode(tmp_path, name):
    (tmp_path / name).write_bytes(READ[name])
    size = read_size(tmp_path / name)
    for mode in MODES:
        loaded = load_images(tmp_path / name, resize=mode, resolution=28, pixel_limit=28 * 28)
        assert loaded.original_sizes.tolist() == [list(size)]
        assert max(loaded.images.shape[1:3]) <= 28 * 28
        sx, sy, ox, oy = loaded.scale_offset[0]
        assert sx > 0 and sy > 0 and np.isfinite([ox, oy]).all()


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_cost_too_much_is_refused_with_a_sentence(tmp_path, name):
    data, words = REFUSED[name]
    (tmp_path / name).write_bytes(data)
    started = time.process_time()
    for read in (read_picture, load_images):
        with pytest.raises(ValueError, match=r"^\S+ .*\.$") as caught:
            read(tmp_path / name)
        assert words in str(caught.value) and name in str(caught.value)
    assert time.process_time() - started < 10


@pytest.mark.parametrize("name", CAMERA_FILES)
def test_a_video_under_the_name_of_a_photo_is_called_a_video(tmp_path, name):
    (tmp_path / name).write_bytes(CAMERA_FILES[name] + bytes(600))
    with pytest.raises(ValueError, match="is a video, not a picture: rename it"):
        load_images(tmp_path / name)


def test_narrow_arrays_are_refused():
    with pytest.raises(ValueError, match="Image 1 is 4000 x 3: the longer side may be at most 100 times"):
        images_from_arrays([np.zeros((3, 4000, 3), np.uint8)])
