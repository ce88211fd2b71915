import numpy as np
import pytest
from manyview_tests_pictures import BLUE, RED, left_right, load, png_header, save, sentence_of, transparent
from PIL import Image

from manyview.scene import picture
from manyview.scene.picture import read_picture, read_size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_exif_orientation_is_applied(tmp_path, orientation, ending):
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, :32], pixels[:16, 32:], pixels[16:, :32] = RED, BLUE, (30, 240, 40)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(
        tmp_path / f"a.{ending}",
        color=Image.fromarray(pixels),
        exif=exif,
        **{"quality": 95} if ending in ("jpg", "webp") else {},
    )
    turn = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(pixels, 1),
    }[orientation]
    read = read_picture(path)
    assert read.size == read_size(path) == read.image.size == turn.shape[1::-1]
    for y, x in ((8, 8), (8, turn.shape[1] - 8), (turn.shape[0] - 8, 8)):
        np.testing.assert_allclose(np.asarray(read.image)[y, x], turn[y, x], atol=30)
    assert tuple(load(path).original_sizes[0]) == read.size


def test_orientation_behind_the_pixels_of_a_png(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.png", exif=exif)
    data = path.read_bytes()
    at = data.index(b"eXIf") - 4
    chunk = data[at : at + 12 + int.from_bytes(data[at : at + 4], "big")]
    end = data.index(b"IEND") - 4
    path.write_bytes(data[:at] + data[at + len(chunk) : end] + chunk + data[end:])
    loaded = load([path, save(tmp_path / "b.png", size=(45, 60))])
    assert loaded.original_sizes.tolist() == [[45, 60], [45, 60]]
    assert loaded.masks is None


def test_sixteen_bit_grey_becomes_eight_bit(tmp_path):
    values = np.array([[0, 255, 257, 32768, 65535]], np.uint16).repeat(5, 0)
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values).save(tmp_path / "a.tif")
    for name in ("a.png", "a.tif"):
        assert np.asarray(read_picture(tmp_path / name).image)[0, :, 0].tolist() == [0, 1, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0, 200.0]], np.float32), [0, 100, 200]),
        (np.array([[0.0, np.nan, 1000.0]], np.float32), [0, 0, 255]),
        (np.array([[0, 100, 200]], np.int32), [0, 100, 200]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[0, -5, 100000]], np.int32), [0, 0, 255]),
    ],
)
def test_grey_tiff_of_any_depth(tmp_path, values, expected):
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert np.asarray(read_picture(tmp_path / "a.tif").image)[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("mode", "color", "ending", "expected"),
    [
        ("L", 77, "png", (77, 77, 77)),
        ("1", 1, "png", (255, 255, 255)),
        ("P", 3, "gif", None),
        ("CMYK", (0, 255, 255, 0), "jpg", (255, 0, 0)),
        ("CMYK", (0, 255, 255, 0), "tif", (255, 0, 0)),
        ("YCbCr", (76, 85, 255), "jpg", (254, 0, 0)),
    ],
)
def test_other_colour_modes(tmp_path, mode, color, ending, expected):
    loaded = load(save(tmp_path / f"a.{ending}", mode=mode, color=color))
    assert loaded.masks is None
    if expected:
        np.testing.assert_allclose(loaded.images[0, 20, 20], expected, atol=3)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_white_and_masked(tmp_path, mode):
    loaded = load(save(tmp_path / "a.png", color=transparent(mode)))
    assert (loaded.images[0, 5:-5, 5:20] == 255).all()
    assert not loaded.masks[0, :, :27].any()
    assert loaded.masks[0, :, 29:].all()
    as_pi3 = load(tmp_path / "a.png", resize="pi3", pixel_limit=60 * 45)
    assert (as_pi3.images[0, 5:-5, 5:15] < 255).any()  # pi3 keeps the colours below the transparency
    np.testing.assert_array_equal(as_pi3.masks.any(), True)


def test_opaque_alpha_makes_no_mask(tmp_path):
    assert load(save(tmp_path / "a.png", mode="RGBA", color=(*RED, 255))).masks is None


def test_large_pictures_are_shrunk_while_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "LARGE_PIXELS", 10_000)
    monkeypatch.setattr(picture, "SHRINK_TO", 100)
    image = left_right((801, 601))
    for name, options in {"a.jpg": {"quality": 95}, "a.png": {}, "p.gif": {}}.items():
        read = read_picture(save(tmp_path / name, color=image, **options))
        assert read.size == (801, 601)
        assert max(read.image.size) <= 202
        loaded = load(tmp_path / name)
        assert loaded.original_sizes.tolist() == [[801, 601]]
        np.testing.assert_allclose(loaded.images[0, 5, 10], RED, atol=12)
        np.testing.assert_allclose(loaded.images[0, -5, -10], BLUE, atol=12)
    rgba = image.convert("RGBA")
    rgba.paste((0, 0, 0, 0), (0, 0, 400, 601))
    loaded = load(save(tmp_path / "t.png", color=rgba))
    assert not loaded.masks[0, :, :26].any()
    assert loaded.masks[0, :, 30:].all()


def test_decoding_a_large_jpeg_small_changes_next_to_nothing(tmp_path, shared):
    with Image.open(shared / "photos" / "room" / "no_overlap_2.jpg") as photo:
        path = save(tmp_path / "a.jpg", color=photo.resize((1600, 1200)), quality=95)
    exact = save(tmp_path / "a.png", color=Image.open(path))
    fast, slow = (load(file, resolution=196).images.astype(int) for file in (path, exact))
    assert 0 < np.abs(fast - slow).max() <= 8
    cropped = [load(file, resolution=196, resize="crop").images for file in (path, exact)]
    np.testing.assert_array_equal(*cropped)


def test_large_turned_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "LARGE_PIXELS", 10_000)
    monkeypatch.setattr(picture, "SHRINK_TO", 100)
    exif = Image.Exif()
    exif[0x0112] = 6
    loaded = load(save(tmp_path / "a.jpg", color=left_right((800, 304)), exif=exif))
    assert loaded.original_sizes.tolist() == [[304, 800]]
    np.testing.assert_allclose(loaded.images[0, 5, 10], RED, atol=12)
    np.testing.assert_allclose(loaded.images[0, -5, 10], BLUE, atol=12)


def test_a_40000_pixel_panorama_is_read(tmp_path):
    path = save(tmp_path / "pano.jpg", size=(40000, 5000))  # 200 megapixels: Pillow alone refuses it
    limit = Image.MAX_IMAGE_PIXELS
    loaded = load(path, resolution=518)
    assert loaded.images.shape == (1, 70, 518, 3)
    assert loaded.original_sizes.tolist() == [[40000, 5000]]
    np.testing.assert_allclose(loaded.images[0, 30, 30], RED, atol=3)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_what_is_too_large_is_refused_before_decoding(tmp_path):
    text = sentence_of(load, png_header(tmp_path / "pano.png", 40000, 20000))
    assert text.startswith("pano.png is too large (40000 x 20000, 800 megapixels as PNG)")
    assert "JPEG" in text
