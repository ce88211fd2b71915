import os
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from manyview.scene import picture
from manyview.scene.files import choose, natural_key, number_repeats
from manyview.scene.images import images_from_arrays, load_images, take_views
from manyview.scene.picture import read_picture, read_size, read_time

RED, BLUE = (250, 20, 30), (20, 30, 250)


def save(path, size=(60, 45), color=RED, mode="RGB", **options):
    image = color if isinstance(color, Image.Image) else Image.new(mode, size, color)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def left_right(size=(60, 45)):
    """Red left half, blue right half."""
    pixels = np.empty((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2], pixels[:, size[0] // 2 :] = RED, BLUE
    return Image.fromarray(pixels)


def load(source, **options):
    return load_images(source, **{"resolution": 56, **options})


def sentence_of(call, *arguments, **options):
    with pytest.raises(ValueError) as caught:
        call(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 250
    return text


# --- which files


def test_folder_in_natural_order_without_foreign_and_hidden_files(tmp_path):
    for name in ("img10.jpg", "img2.jpg", "IMG1.JPG", ".hidden.jpg", "._img2.jpg"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "Thumbs.db").write_bytes(b"\0\1")
    (tmp_path / "folder.jpg").mkdir()
    loaded = load(tmp_path)
    assert loaded.names == ("IMG1.JPG", "img2.jpg", "img10.jpg")
    assert loaded.paths[1] == tmp_path / "img2.jpg"
    assert loaded.skipped == ()
    assert len(loaded) == 3


def test_glob_file_and_list(tmp_path):
    for name in ("a2.png", "a10.png", "b.png", "a.txt.png"):
        save(tmp_path / name)
    assert load(str(tmp_path / "a?*.png")).names == ("a2.png", "a10.png", "a.txt.png")
    assert load(str(tmp_path / "b.png")).names == ("b.png",)
    assert load([tmp_path / "b.png", str(tmp_path / "a2.png")]).names == ("b.png", "a2.png")


def test_folder_named_like_a_glob(tmp_path):
    save(tmp_path / "photos [1]" / "a.png")
    assert load(tmp_path / "photos [1]").names == ("a.png",)


def test_names_are_unique_across_folders(tmp_path):
    paths = [save(tmp_path / folder / "1.png") for folder in ("left", "right")]
    assert load(paths).names == ("left/1.png", "right/1.png")
    assert load([paths[0], paths[0]]).names == ("left/1.png", "left/1_2.png")


@given(st.lists(st.sampled_from(["a.png", "a_2.png", "b.png", "c"])))
def test_numbered_names_never_clash(names):
    numbered = number_repeats(names)
    assert len(set(numbered)) == len(numbered) == len(names)


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_natural_order_is_the_order_of_numbers(numbers):
    names = [f"img{number}.jpg" for number in numbers]
    assert sorted(names, key=natural_key) == [f"img{number}.jpg" for number in sorted(numbers)]


@given(st.lists(st.text()))
def test_natural_order_accepts_any_name(names):
    assert sorted(sorted(names, key=natural_key)[::-1], key=natural_key) == sorted(names, key=natural_key)


@given(
    st.integers(0, 60), st.integers(0, 20), st.integers(1, 9), st.integers(1, 70), st.sampled_from(["first", "even"])
)
def test_choice_is_ascending_within_limits(count, start, every, limit, selection):
    chosen = choose(count, start, every, limit, selection)
    everything = list(range(start, count, every))
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(everything)
    assert len(chosen) == min(limit, len(everything))
    if selection == "first" or limit >= len(everything):
        assert chosen == everything[: len(chosen)]
    elif limit > 1:
        assert (chosen[0], chosen[-1]) == (everything[0], everything[-1])
        gaps = np.diff(chosen) // every
        assert gaps.max() - gaps.min() <= 1


def test_limits(tmp_path):
    for number in range(10):
        save(tmp_path / f"{number}.png")
    assert load(tmp_path, start=2, every=3).names == ("2.png", "5.png", "8.png")
    assert load(tmp_path, limit=2).names == ("0.png", "1.png")
    assert load(tmp_path, limit=3, selection="even").names == ("0.png", "4.png", "9.png")
    assert "only 10 images" in sentence_of(load, tmp_path, start=10)
    for option in ({"start": -1}, {"every": 0}, {"limit": 0}, {"selection": "best"}):
        assert next(iter(option)) in sentence_of(load, tmp_path, **option)


# --- what one file holds


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


def transparent(mode):
    """Left half transparent, right half blue (grey 30 in LA), as an image of the mode."""
    rgba = np.zeros((45, 60, 4), np.uint8)
    rgba[:, :30], rgba[:, 30:] = (*RED, 0), (*BLUE, 255)
    if mode == "P":
        image = Image.fromarray((rgba[..., 3] // 255).astype(np.uint8)).convert("P")
        image.putpalette([*RED, *BLUE])
        image.info["transparency"] = 0
        return image
    return Image.fromarray(rgba).convert(mode)


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


@pytest.mark.parametrize(
    ("ending", "options"), [("gif", {}), ("webp", {"lossless": True}), ("png", {}), ("mpo", {}), ("tif", {})]
)
def test_first_frame_of_many(tmp_path, ending, options):
    second = Image.new("RGB", (60, 45), BLUE)
    path = save(tmp_path / f"a.{ending}", save_all=True, append_images=[second], **options)
    loaded = load(path)
    assert len(loaded) == 1
    np.testing.assert_allclose(loaded.images[0, 20, 20], RED, atol=12)


# --- large pictures


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


def png_header(path, width, height):
    data = bytearray(save(path, size=(1, 1)).read_bytes())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    return path


def test_what_is_too_large_is_refused_before_decoding(tmp_path):
    text = sentence_of(load, png_header(tmp_path / "pano.png", 40000, 20000))
    assert text.startswith("pano.png is too large (40000 x 20000, 800 megapixels; a PNG may have 300)")
    assert "JPEG" in text


# --- bad files


def bad_files(folder):
    """One file of each kind that cannot be used, with words of its sentence."""
    folder.mkdir(exist_ok=True)
    cases = {}

    def add(name, data, *words):
        (folder / name).write_bytes(data)
        cases[name] = words

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8))
    jpeg = save(folder / "whole.jpg", color=noise).read_bytes()
    png = save(folder / "whole.png", color=noise).read_bytes()
    (folder / "whole.jpg").unlink()
    (folder / "whole.png").unlink()
    add("empty.jpg", b"", "is empty (0 bytes)")
    add("text.jpg", b"Dear reader, this is not a picture.\n", "is a text file")
    add("page.jpg", b"\n<!DOCTYPE html><html></html>", "is a web page")
    add("pointer.jpg", b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer")
    add("noise.jpg", bytes(range(256)), "is not a picture that can be read")
    add("cut.jpg", jpeg[: len(jpeg) // 2], "is damaged or cut off")
    add("cut.png", png[: len(png) // 2], "is damaged or cut off")
    add("start.jpg", jpeg[:20], "is damaged or cut off")
    add("header.png", png[:20], "is damaged or cut off")
    add("flipped.png", png[:2000] + bytes(50) + png[2050:], "is damaged or cut off")
    add("photo.heic", b"\0\0\0\x18ftypheic" + bytes(40), "is a HEIC photo", "convert it to JPEG")
    add("renamed_heic.jpg", b"\0\0\0\x18ftypmif1" + bytes(40), "is a HEIC photo")
    add("film.jpg", b"\0\0\0\x18ftypisom" + bytes(40), "is a video")
    add("picture.avif", b"\0\0\0\x18ftypavif" + bytes(40), "picture.avif is")
    add("camera.nef", jpeg, "is a camera raw file")
    sizes = [word.to_bytes(4, "little") for word in (54, 0, 54, 40, 0, 0)]
    add("nothing.bmp", b"BM" + b"".join(sizes) + b"\1\0\x18\0" + bytes(24), "is damaged or cut off")
    save(folder / "clear.png", mode="RGBA", color=(0, 0, 0, 0))
    cases["clear.png"] = ("is fully transparent",)
    png_header(folder / "huge.png", 60000, 60000)
    cases["huge.png"] = ("is too large (60000 x 60000",)
    return cases


def test_each_bad_file_gets_one_sentence_with_its_name(tmp_path):
    for name, words in bad_files(tmp_path).items():
        text = sentence_of(load, tmp_path / name)
        assert text.startswith(name)
        assert all(word in text for word in words), text
        assert text == sentence_of(load, tmp_path / name, strict=True)


def test_colours_that_pillow_cannot_convert(tmp_path, monkeypatch):
    def refuse(*_arguments):
        raise ValueError("conversion from XYZ to RGB not supported")

    path = save(tmp_path / "a.tif")
    monkeypatch.setattr(picture, "_to_rgb_in_strips", refuse)
    assert "a.tif has colours that cannot be read (conversion from XYZ" in sentence_of(load, path)


def test_bad_files_among_good_ones_are_skipped_and_told(tmp_path):
    cases = bad_files(tmp_path)
    for name in ("a1.png", "z1.png"):
        save(tmp_path / name)
    loaded = load(tmp_path)
    assert loaded.names == ("a1.png", "z1.png")
    assert {name for name, _ in loaded.skipped} == set(cases)
    assert all(sentence.startswith(name) for name, sentence in loaded.skipped)
    with pytest.raises(ValueError, match=r"^camera.nef"):
        load(tmp_path, strict=True)


def test_a_broken_picture_does_not_decide_the_shape(tmp_path):
    wide = save(tmp_path / "a.jpg", color=Image.effect_noise((120, 60), 90).convert("RGB")).read_bytes()
    (tmp_path / "a.jpg").write_bytes(wide[: len(wide) // 2])
    save(tmp_path / "b.jpg", size=(60, 60))
    loaded = load(tmp_path)
    assert loaded.images.shape == (1, 56, 56, 3)
    assert loaded.masks is None


def test_only_bad_files(tmp_path):
    cases = bad_files(tmp_path)
    with pytest.raises(
        ValueError, match=rf"^None of the {len(cases)} images can be used: camera.nef .* and {len(cases) - 3} more"
    ):
        load(tmp_path)


def test_bad_sources(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / "a.mp4").write_bytes(b"x")
    save(tmp_path / "above" / "photos" / "a.png")
    (tmp_path / "notes.txt").write_text("hello")
    assert "holds no images: give a folder with JPEG" in sentence_of(load, tmp_path / "empty")
    assert "it holds a video, a.mp4: give that file" in sentence_of(load, tmp_path / "film")
    assert "its folder photos does: give that" in sentence_of(load, tmp_path / "above")
    assert "does not exist" in sentence_of(load, tmp_path / "nowhere")
    assert "does not exist" in sentence_of(load, [tmp_path / "nowhere.jpg"])
    assert "No file matches" in sentence_of(load, str(tmp_path / "*.jpg"))
    assert "list of images is empty" in sentence_of(load, [])
    assert "No input was given" in sentence_of(load, "")
    assert "is a web address" in sentence_of(load, "https://example.org/a.jpg")
    assert "notes.txt is a text file" in sentence_of(load, tmp_path / "notes.txt")
    assert "is a video among 2 files" in sentence_of(load, [tmp_path / "notes.txt", tmp_path / "film" / "a.mp4"])
    loaded = load([tmp_path / "nowhere.jpg", tmp_path / "above" / "photos" / "a.png"])
    assert loaded.names == ("a.png",)
    assert loaded.skipped[0][0] == "nowhere.jpg"


def test_an_unreadable_file_is_named(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png")

    def refuse(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert sentence_of(load, path) == "a.png cannot be opened (Permission denied)."


def test_out_of_memory_is_a_sentence(tmp_path, monkeypatch):
    def exhaust(*_arguments):
        raise MemoryError

    path = save(tmp_path / "a.png")
    monkeypatch.setattr(picture, "_to_rgb_in_strips", exhaust)
    assert "does not fit in memory (60 x 45 pixels)" in sentence_of(load, path)


@pytest.mark.parametrize("resolution", [57, 0, -14])
def test_bad_resolution_is_said_before_reading(tmp_path, resolution):
    assert "multiple of the patch size 14" in sentence_of(load, tmp_path, resolution=resolution)


# --- mixed sizes, masks


def test_mixed_sizes_keep_their_own_mapping(tmp_path):
    save(tmp_path / "1.png", size=(120, 90))
    save(tmp_path / "2.png", size=(400, 300))
    save(tmp_path / "3.png", color=left_right((90, 120)))
    loaded = load(tmp_path, resolution=112)
    assert loaded.images.shape == (3, 84, 112, 3)
    assert loaded.original_sizes.tolist() == [[120, 90], [400, 300], [90, 120]]
    assert loaded.masks[:2].all()
    columns = np.nonzero(loaded.masks[2].any(0))[0]
    assert len(columns) == 63
    scale_x, scale_y, offset_x, offset_y = loaded.scale_offset[2]
    np.testing.assert_allclose([scale_x * columns[0] + offset_x, scale_x * (columns[-1] + 1) + offset_x], [0, 90])
    np.testing.assert_allclose([offset_y, scale_y * 84 + offset_y], [0, 120])
    assert (loaded.images[2][~loaded.masks[2]] == 255).all()
    assert loaded.images.dtype == np.uint8
    assert loaded.original_sizes.dtype == np.int64
    assert loaded.scale_offset.dtype == np.float64


def test_masks_by_name(tmp_path):
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        save(tmp_path / "photos" / name)
    half = np.zeros((24, 32), np.uint8)
    half[:, 16:] = 255
    save(tmp_path / "masks" / "1.png", color=Image.fromarray(half))
    save(tmp_path / "masks" / "2.jpg.png", color=Image.fromarray(half // 255))
    loaded = load(tmp_path / "photos", masks=tmp_path / "masks")
    for mask in loaded.masks[:2]:
        assert not mask[:, :27].any()
        assert mask[:, 29:].all()
    assert loaded.masks[2].all()
    assert loaded.skipped == (("3.jpg", "3.jpg has no mask in the folder of masks. The whole image is used."),)
    assert "3.jpg has no mask" in sentence_of(load, tmp_path / "photos", masks=tmp_path / "masks", strict=True)


def test_bad_masks(tmp_path):
    photo = save(tmp_path / "1.jpg")
    assert "does not exist" in sentence_of(load, photo, masks=tmp_path / "masks")
    save(tmp_path / "masks" / "other.png")
    assert "No mask in" in sentence_of(load, photo, masks=tmp_path / "masks")
    save(tmp_path / "masks" / "1.png", size=(40, 40))
    assert "The mask 1.png is 40 x 40, but 1.jpg is 60 x 45" in load(photo, masks=tmp_path / "masks").skipped[0][1]
    (tmp_path / "masks" / "1.png").write_text("text")
    assert "1.png is a text file" in load(photo, masks=tmp_path / "masks").skipped[0][1]


def test_a_transparent_cut_out_serves_as_mask(tmp_path):
    photo = save(tmp_path / "1.jpg")
    save(tmp_path / "masks" / "1.png", color=transparent("RGBA"))
    mask = load(photo, masks=tmp_path / "masks").masks[0]
    assert not mask[:, :27].any()
    assert mask[:, 29:].all()


# --- progress


def test_progress_counts_and_cancels(tmp_path):
    for number in range(3):
        save(tmp_path / f"{number}.png")
    calls = []
    load(tmp_path, progress=lambda *call: calls.append(call))
    assert calls == [("images", 1, 3), ("images", 2, 3), ("images", 3, 3)]

    def cancel(*_call):
        raise ValueError("stopped by the user")

    with pytest.raises(ValueError, match="stopped by the user"):
        load(tmp_path, progress=cancel)


# --- arrays


def test_arrays_and_tensors_of_many_kinds():
    grey = np.linspace(0, 1, 56 * 56, dtype=np.float32).reshape(56, 56)
    eight = np.rint(grey * 255).astype(np.uint8)
    color = np.stack([eight] * 3, axis=-1)
    expected = images_from_arrays([color], resolution=56).images
    np.testing.assert_array_equal(expected[0], color)
    batch = torch.from_numpy(np.stack([grey] * 3, axis=-1))[None]  # (1, H, W, 3)
    for arrays in (
        batch,
        [batch, batch],
        list(batch),
        batch.half().float(),
        [grey],
        [eight[..., None]],
        np.stack([color] * 2),
    ):
        images = images_from_arrays(arrays, resolution=56).images
        assert np.abs(images.astype(int) - expected).max() <= 1
    sixteen = images_from_arrays([eight.astype(np.uint16) * 257], resolution=56).images
    np.testing.assert_array_equal(sixteen, expected)
    assert images_from_arrays([grey > 0.5], resolution=56).images.max() == 255
    bfloat = images_from_arrays(batch.bfloat16(), resolution=56).images
    assert np.abs(bfloat.astype(int) - expected).max() <= 1


def test_arrays_with_alpha_masks_and_mixed_sizes():
    rgba = np.full((45, 60, 4), 255, np.uint8)
    rgba[:, :30, 3] = 0
    use = np.ones((60, 45), np.float32)
    use[:30] = 0
    loaded = images_from_arrays(
        [rgba, np.zeros((60, 45, 3))], masks=[np.ones((45, 60)), use], resolution=56, names=["a", "a"]
    )
    assert loaded.names == ("a", "a_2")
    assert loaded.images.shape[:3] == loaded.masks.shape
    assert 0.3 < loaded.masks[0].mean() < 0.6
    assert 0.1 < loaded.masks[1].mean() < 0.3
    assert images_from_arrays([rgba[..., :3]] * 2, resolution=56).names == ("image_0001.png", "image_0002.png")


@pytest.mark.parametrize(
    ("arrays", "options", "words"),
    [
        ([], {}, "list of images is empty"),
        ([np.zeros((3, 40, 60))], {}, "Image 1 has shape (3, 40, 60)"),
        ([np.zeros((0, 60, 3))], {}, "Image 1 has shape (0, 60, 3)"),
        ([np.full((4, 4, 3), np.nan)], {}, "not finite"),
        ([np.full((4, 4, 3), 200.0)], {}, "values from 200 to 200"),
        ([np.full((4, 4, 3), 200, np.int64)], {}, "int64"),
        ([np.zeros((4, 4, 4))], {}, "fully transparent"),
        ([np.zeros((4, 4, 3))], {"names": ["a", "b"]}, "2 names were given for 1 images"),
        ([np.zeros((4, 4, 3))], {"masks": []}, "0 masks were given for 1 images"),
        ([np.zeros((4, 4, 3))], {"masks": [np.zeros((5, 4))]}, "Mask 1 has shape (5, 4)"),
    ],
)
def test_bad_arrays(arrays, options, words):
    assert words in sentence_of(images_from_arrays, arrays, **options)


# --- the real thing


def test_photos_of_mixed_sizes(shared):
    loaded = load(shared / "photos" / "room", resolution=224)
    assert loaded.images.shape == (8, 168, 224, 3)
    assert loaded.original_sizes[:2].tolist() == [[512, 384], [1280, 960]]
    assert loaded.masks is None
    assert loaded.skipped == ()


def test_photos_with_one_corrupt_file(shared, tmp_path):
    for path in sorted((shared / "photos" / "kitchen").iterdir())[:3]:
        shutil.copyfile(path, tmp_path / path.name)
    data = (tmp_path / "02.jpg").read_bytes()
    (tmp_path / "02.jpg").write_bytes(data[:50_000])
    loaded = load(tmp_path)
    assert loaded.names == ("00.jpg", "04.jpg")
    assert loaded.skipped[0][1].startswith("02.jpg is damaged or cut off")


def test_order_of_time(tmp_path):
    taken = {"a.jpg": ("2024:05:01 10:00:00", "50"), "b.jpg": ("2024:05:01 10:00:00", "25"), "c.jpg": None}
    for name, when in taken.items():
        exif = Image.Exif()
        if when:
            details = exif.get_ifd(0x8769)
            details[0x9003], details[0x9291] = when
        Image.new("RGB", (40, 30), (9, 9, 9)).save(tmp_path / name, exif=exif)
    os.utime(tmp_path / "c.jpg", (0, 946684800))  # 2000: without EXIF data the file's own time counts
    assert load_images(tmp_path, resolution=56).names == ("a.jpg", "b.jpg", "c.jpg")
    assert load_images(tmp_path, resolution=56, order="time").names == ("c.jpg", "b.jpg", "a.jpg")
    with pytest.raises(ValueError, match="order must be one of name, time"):
        load_images(tmp_path, order="size")


def test_time_of_what_is_no_picture(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    os.utime(tmp_path / "a.txt", (0, 50))
    assert read_time(tmp_path / "a.txt") == 50
    assert read_time(tmp_path / "gone.jpg") == 0


def test_some_views_of_a_set(tmp_path):
    for number in range(4):
        Image.new("RGB", (40, 30 + 10 * (number == 3)), (number, 0, 0)).save(tmp_path / f"{number}.png")
    views = load_images(tmp_path, resolution=56)
    some = take_views(views, [3, 1])
    assert some.names == ("3.png", "1.png") and some.images[:, 20, 28, 0].tolist() == [3, 1]
    assert some.paths[0].name == "3.png" and some.video_frames == (None, None)
    assert some.original_sizes.tolist() == [[40, 40], [40, 30]] and not some.masks[0].all() and some.masks[1].all()
    assert take_views(views, range(4)) is views
