"""Originals beside a COLMAP project: copied, or turned upright, in every format, mode and orientation."""

from importlib.util import find_spec

import numpy as np
import pytest
from manyview_tests_pictures import BLUE, RED, load, save
from PIL import Image, ImageOps, features

from manyview.scene import originals
from manyview.scene.export import write_colmap
from manyview.scene.originals import Originals
from manyview.scene.picture import read_picture, read_size
from manyview.scene.pointcloud import point_cloud

HAS_AVIF = find_spec("PIL.AvifImagePlugin") is not None and features.check("avif")
GREEN = (30, 240, 40)


def quarters():
    """Red, blue and green quarters, and a black one."""
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, :32], pixels[:16, 32:], pixels[16:, :32] = RED, BLUE, GREEN
    return Image.fromarray(pixels)


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "camera"
    return exif


def copy(path, target, frame=None):
    with Originals() as writer:
        return writer.write(path, target, read_size(path), frame)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("jpg", {"quality": 95}),
        ("png", {}),
        ("tif", {}),
        ("tif", {"compression": "tiff_lzw"}),
        ("webp", {"lossless": True}),
        pytest.param("avif", {"quality": 95}, marks=pytest.mark.skipif(not HAS_AVIF, reason="no AVIF")),
    ],
)
def test_the_copy_is_what_the_network_saw(tmp_path, ending, options, orientation):
    path = save(tmp_path / f"a.{ending}", color=quarters(), exif=oriented(orientation), **options)
    target = tmp_path / f"copy.{ending}"
    if not copy(path, target):
        target = tmp_path / "copy.avif.png"
        assert copy(path, target)
    seen = read_picture(path)
    with Image.open(target) as opened:
        assert opened.getexif().get(0x0112, 1) == 1
        assert opened.size == seen.size
        np.testing.assert_allclose(np.asarray(opened.convert("RGB")), np.asarray(seen.image), atol=40)
        difference = np.abs(np.asarray(opened.convert("RGB")).astype(int) - np.asarray(seen.image))
        assert difference.mean() < 3
    if orientation == 1:
        assert target.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("mode", "ending", "back"),
    [
        ("L", "jpg", "L"),
        ("CMYK", "jpg", "CMYK"),
        ("CMYK", "tif", "CMYK"),
        ("P", "png", "P"),
        ("1", "png", "1"),
        ("RGBA", "png", "RGBA"),
        ("LA", "png", "LA"),
        ("I;16", "png", "I;16"),
        ("I;16", "tif", "I;16"),
        ("F", "tif", "F"),
    ],
)
def test_a_turned_copy_keeps_its_kind_of_pixels(tmp_path, mode, ending, back):
    grey = np.asarray(quarters().convert("L"))
    made = {"I;16": lambda: Image.fromarray(grey.astype(np.uint16) * 250), "F": lambda: Image.fromarray(grey / 255.0)}
    image = made[mode]() if mode in made else quarters().convert(mode)
    image = image.convert("F") if mode == "F" else image
    path = save(tmp_path / f"a.{ending}", color=image, exif=oriented(6))
    assert copy(path, tmp_path / f"copy.{ending}")
    with Image.open(tmp_path / f"copy.{ending}") as opened:
        assert opened.size == (32, 64) and opened.mode in (back, back.removesuffix(";16"))  # older Pillows know no I;16
        if ending != "jpg":
            np.testing.assert_array_equal(np.asarray(opened), np.rot90(np.asarray(image), -1))


def test_colour_profile_and_exif_come_along(tmp_path):
    profile = b"a colour profile"
    path = save(tmp_path / "a.jpg", color=quarters(), exif=oriented(3), icc_profile=profile)
    assert copy(path, tmp_path / "copy.jpg")
    with Image.open(tmp_path / "copy.jpg") as opened:
        assert opened.info["icc_profile"] == profile
        assert dict(opened.getexif()) == {0x010F: "camera"}


def test_orientation_behind_the_pixels(tmp_path):
    path = save(tmp_path / "a.png", color=quarters(), exif=oriented(3))
    data = path.read_bytes()
    at = data.index(b"eXIf") - 4
    chunk = data[at : at + 12 + int.from_bytes(data[at : at + 4], "big")]
    end = data.index(b"IEND") - 4
    path.write_bytes(data[:at] + data[at + len(chunk) : end] + chunk + data[end:])
    assert copy(path, tmp_path / "copy.png")
    with Image.open(tmp_path / "copy.png") as opened:
        np.testing.assert_array_equal(np.asarray(opened), np.asarray(quarters())[::-1, ::-1])


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_broken_exif_data_do_not_stop_the_copy(tmp_path, ending):
    broken = b"Exif\0\0\x08\0\x02\x01\x12\0\x03garbage!"
    path = save(tmp_path / f"a.{ending}", color=quarters(), exif=broken)
    assert copy(path, tmp_path / f"copy.{ending}")
    assert (tmp_path / f"copy.{ending}").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_large_pictures_are_turned_in_strips(tmp_path, monkeypatch, orientation):
    noise = Image.effect_noise((90, 70), 90).convert("P")
    path = save(tmp_path / "a.png", color=noise, exif=oriented(orientation))
    monkeypatch.setattr(originals, "LARGE_PIXELS", 1000)
    monkeypatch.setattr(originals, "STRIP_PIXELS", 1000)
    assert copy(path, tmp_path / "copy.png")
    with Image.open(path) as opened, Image.open(tmp_path / "copy.png") as turned:
        np.testing.assert_array_equal(turned.convert("RGB"), ImageOps.exif_transpose(opened).convert("RGB"))


def test_pictures_above_the_limit_of_pillow(make_room, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)  # it refuses twice as many
    monkeypatch.setattr("manyview.scene.picture.STRIP_PIXELS", 4000)
    names = ("a.jpg", "b.png", "c.tif", "d.tif")
    for number, name in enumerate(names):
        save(tmp_path / name, color=quarters().resize((112, 84)), exif=oriented(3 if number > 2 else 1))
    loaded = load(tmp_path)
    assert loaded.names == names and loaded.notes == ()
    room = make_room(scale_offset=(2.0, 2.0, 0.0, 0.0), names=names, paths=loaded.paths)
    assert write_colmap(room, point_cloud(room, max_points=100), tmp_path / "room") == ()
    monkeypatch.undo()
    for name in names:
        with Image.open(tmp_path / "room" / "images" / name) as opened:
            assert opened.size == (112, 84)


def test_an_original_that_cannot_be_had_is_told(make_room, tmp_path, monkeypatch):
    names = ("gone.jpg", "other.jpg", "large.jpg", "text.jpg")
    save(tmp_path / "other.jpg", size=(50, 40))
    save(tmp_path / "large.jpg", size=(112, 84), exif=oriented(3))
    (tmp_path / "text.jpg").write_text("no picture")
    monkeypatch.setattr("manyview.scene.picture_file.MOST_DECODER_BYTES", 5000)
    room = make_room(scale_offset=(2.0, 2.0, 0.0, 0.0), names=names, paths=tuple(tmp_path / name for name in names))
    (note,) = write_colmap(room, point_cloud(room, max_points=100), tmp_path / "room")
    assert note.startswith("note: COLMAP has the model's 56 x 42 picture, with a camera to match, in place of 4 of 4")
    assert "gone.jpg does not exist" in note and "other.jpg is 50 x 40 now, where it was 112 x 84" in note
    assert "large.jpg is too large" in note and note.endswith("... and 1 more.")
    with Image.open(tmp_path / "room" / "images" / "gone.jpg") as opened:
        assert opened.size == (56, 42)
