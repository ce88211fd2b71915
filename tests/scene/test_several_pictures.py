"""Animations and multi-page files: each of their pictures is a view."""

import numpy as np
import pytest
from manyview_tests_pictures import BLUE, RED, load, save, sentence_of
from PIL import Image, TiffImagePlugin

from manyview.scene.export import write_colmap
from manyview.scene.images import load_images
from manyview.scene.picture_file import picture_frames
from manyview.scene.pointcloud import point_cloud

GREEN = (30, 240, 40)


def several(path, colors=(RED, BLUE, GREEN), size=(60, 45), **options):
    first, *others = [Image.new("RGB", size, color) for color in colors]
    return save(path, color=first, save_all=True, append_images=others, **options)


@pytest.mark.parametrize(
    ("ending", "options"),
    [("gif", {}), ("webp", {"lossless": True}), ("png", {}), ("tif", {}), ("tif", {"big_tiff": True})],
)
def test_all_pictures_of_a_file_are_views(tmp_path, ending, options):
    path = several(tmp_path / f"walk.{ending}", **options)
    loaded = load(path)
    assert loaded.names == ("walk_1.png", "walk_2.png", "walk_3.png")
    assert loaded.video_frames == (0, 1, 2) and set(loaded.paths) == {path}
    np.testing.assert_allclose(loaded.images[:, 20, 20], [RED, BLUE, GREEN], atol=12)
    assert loaded.notes == (f"note: walk.{ending} holds 3 pictures: each is a view.",)
    assert load(path, start=1, every=2).names == ("walk_2.png",)
    assert load(path, limit=2, selection="even").names == ("walk_1.png", "walk_3.png")


def test_stereo_pictures_and_thumbnails_are_no_views(tmp_path):
    assert len(load(several(tmp_path / "a.mpo", colors=(RED, BLUE)))) == 1
    pages = [Image.new("RGB", size, RED) for size in ((60, 45), (20, 15))]
    reduced = TiffImagePlugin.ImageFileDirectory_v2()
    reduced[254] = 1
    with TiffImagePlugin.AppendingTiffWriter(str(tmp_path / "a.tif"), True) as writer:
        pages[0].save(writer, format="TIFF")
        writer.newFrame()
        pages[1].save(writer, format="TIFF", tiffinfo=reduced)
        writer.newFrame()
    assert picture_frames(tmp_path / "a.tif") == (0,)


def test_the_still_picture_of_an_animated_png_is_not_one_of_its_frames(tmp_path):
    path = several(tmp_path / "a.png", default_image=True)
    np.testing.assert_array_equal(load(path).images[:, 20, 20], [BLUE, GREEN])


def test_pages_of_different_sizes(tmp_path):
    pages = [Image.new("RGB", size, RED) for size in ((60, 45), (45, 60))]
    loaded = load(save(tmp_path / "a.tif", color=pages[0], save_all=True, append_images=pages[1:]))
    assert loaded.original_sizes.tolist() == [[60, 45], [45, 60]]
    assert loaded.masks[0].all() and not loaded.masks[1].all()


def test_an_animation_among_photos(tmp_path):
    save(tmp_path / "a.jpg")
    several(tmp_path / "b.gif")
    save(tmp_path / "c.jpg")
    assert load(tmp_path).names == ("a.jpg", "b_1.png", "b_2.png", "b_3.png", "c.jpg")
    assert load(tmp_path, start=2, limit=3).names == ("b_2.png", "b_3.png", "c.jpg")


def test_frames_behind_damage_are_told_and_not_looked_for_again(tmp_path):
    noise = [Image.effect_noise((60, 45), 90).convert("P") for _ in range(4)]
    path = save(tmp_path / "a.gif", color=noise[0], save_all=True, append_images=noise[1:])
    path.write_bytes(path.read_bytes()[:-3000])
    loaded = load(path)
    assert 0 < len(loaded) < 4
    assert len(loaded) + sum("damaged or cut off" in note for note in loaded.notes) >= 3


def test_an_animation_that_would_take_minutes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("manyview.scene.picture_file.MOST_DECODER_SECONDS", 1e-6)
    assert "save it as a video" in sentence_of(load, several(tmp_path / "a.gif", size=(90, 60))).lower()
    monkeypatch.setattr("manyview.scene.layouts.parts.MOST_FRAMES", 2)
    assert "more than 2 pictures" in sentence_of(load, several(tmp_path / "b.gif"))


def test_frames_are_written_for_colmap(make_room, tmp_path):
    path = several(tmp_path / "walk.gif", size=(112, 84))
    names = tuple(load_images(path, resolution=56).names)
    views = {"paths": (path,) * 3, "video_frames": (0, 1, 2), "names": names}
    room = make_room(frames=3, scale_offset=(2.0, 2.0, 0.0, 0.0), **views)
    assert write_colmap(room, point_cloud(room, max_points=100), tmp_path / "room") == ()
    for name, color in zip(names, (RED, BLUE, GREEN), strict=True):
        with Image.open(tmp_path / "room" / "images" / name) as opened:
            assert opened.size == (112, 84) and opened.format == "PNG"
            np.testing.assert_allclose(np.asarray(opened.convert("RGB"))[40, 50], color, atol=12)
