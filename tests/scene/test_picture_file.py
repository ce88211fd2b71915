import sys

import numpy as np
import pytest
from manyview_tests_pictures import load, png_header, save, sentence_of
from PIL import Image

from manyview.scene import picture


@pytest.fixture(autouse=True)
def no_heic(monkeypatch):
    """As where pillow-heif is not installed."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)


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


def test_heic_photos_are_read_where_there_is_a_reader(tmp_path, monkeypatch):
    monkeypatch.undo()
    reader = pytest.importorskip("pillow_heif")
    image = Image.new("RGB", (60, 40), (200, 30, 40))
    reader.from_pillow(image).save(tmp_path / "a.heic", quality=95)
    loaded = load(tmp_path / "a.heic")
    assert loaded.original_sizes.tolist() == [[60, 40]]
    np.testing.assert_allclose(loaded.images[0, 20, 20], (200, 30, 40), atol=6)
