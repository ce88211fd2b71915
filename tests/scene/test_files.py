import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from manyview_tests_pictures import load, save, sentence_of
from PIL import Image

from manyview.scene.files import choose, natural_key, number_repeats
from manyview.scene.images import load_images
from manyview.scene.picture import read_time


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
