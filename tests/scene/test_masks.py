import numpy as np
import pytest
from manyview_tests_pictures import load, save, sentence_of, transparent
from PIL import Image

from manyview.scene.images import images_from_arrays


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


def halves(path, left, size=(60, 45), values=(0, 255), dtype=np.uint8):
    """A mask that uses the left half, or the right one."""
    pixels = np.full(size[::-1], values[0], dtype)
    pixels[:, slice(None, size[0] // 2) if left else slice(size[0] // 2, None)] = values[1]
    return save(path, color=Image.fromarray(pixels))


def left_and_right(loaded):
    """Which share of each half is used, of each view."""
    return [(mask[:, :25].mean(), mask[:, 31:].mean()) for mask in loaded.masks]


def two_cameras(folder):
    return [save(folder / "photos" / camera / "0001.jpg").parent for camera in ("cam1", "cam2")]


def test_masks_in_folders_like_those_of_the_images(tmp_path):
    cameras = two_cameras(tmp_path)
    halves(tmp_path / "masks" / "cam1" / "0001.png", left=True)
    halves(tmp_path / "masks" / "cam2" / "0001.jpg.png", left=False)
    loaded = load(cameras, masks=tmp_path / "masks")
    assert left_and_right(loaded) == [(1, 0), (0, 1)] and loaded.notes == ()
    halves(tmp_path / "more" / "photos" / "cam1" / "0001.png", left=False)
    assert left_and_right(load(cameras[0], masks=tmp_path / "more")) == [(0, 1)]


def test_a_mask_that_images_of_two_folders_could_have_serves_none(tmp_path):
    cameras = two_cameras(tmp_path)
    halves(tmp_path / "flat" / "0001.png", left=True)
    loaded = load(cameras, masks=tmp_path / "flat")
    assert loaded.masks is None
    assert loaded.notes[0].startswith(
        "note: cam1/0001.jpg has no mask of its own: 0001.png could belong to images of 2"
    )
    assert "put it at cam2/0001.png" in loaded.notes[1] and len(loaded.notes) == 2
    assert "could belong" in sentence_of(load, cameras, masks=tmp_path / "flat", strict=True)[:120]
    assert left_and_right(load(cameras[1], masks=tmp_path / "flat")) == [(1, 0)]


def test_one_mask_for_all(tmp_path):
    for number in range(3):
        save(tmp_path / "photos" / f"{number}.jpg")
    mask = halves(tmp_path / "masks" / "rig.png", left=True)
    loaded = load(tmp_path / "photos", masks=tmp_path / "masks")
    assert left_and_right(loaded) == [(1, 0)] * 3
    assert loaded.notes == ("note: The one mask rig.png is used for all 3 images.",)
    loaded = load(tmp_path / "photos", masks=mask)
    assert left_and_right(loaded) == [(1, 0)] * 3 and loaded.notes == ()


def test_as_many_masks_as_images_are_paired_in_their_order(tmp_path):
    for number in (2, 10):
        save(tmp_path / "photos" / f"img{number}.jpg")
        halves(tmp_path / "masks" / f"mask{number}.png", left=number == 2)
    loaded = load(tmp_path / "photos", masks=tmp_path / "masks")
    assert left_and_right(loaded) == [(1, 0), (0, 1)]
    assert "paired in their order" in loaded.notes[0]
    halves(tmp_path / "masks" / "mask3.png", left=True)
    assert "No mask in" in sentence_of(load, tmp_path / "photos", masks=tmp_path / "masks")


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ((0, 1), np.uint8),
        ((0, 2), np.uint8),
        ((0, 255), np.uint8),
        ((20, 230), np.uint8),
        ((0, 1), np.uint16),
        ((0, 7), np.uint16),
        ((0, 255), np.uint16),
        ((9, 250), np.uint16),
        ((300, 65535), np.uint16),
    ],
)
def test_label_and_bright_masks_of_8_and_16_bits(tmp_path, ending, values, dtype):
    photo = save(tmp_path / "a.jpg")
    halves(tmp_path / "masks" / f"a.{ending}", left=True, values=values, dtype=dtype)
    assert left_and_right(load(photo, masks=tmp_path / "masks")) == [(1, 0)]


@pytest.mark.parametrize(("values", "dtype"), [((0, 1), np.float32), ((0.1, 0.9), np.float32), ((0, 1), np.int32)])
def test_masks_of_floats_and_whole_numbers(tmp_path, values, dtype):
    photo = save(tmp_path / "a.jpg")
    halves(tmp_path / "masks" / "a.tif", left=False, values=values, dtype=dtype)
    assert left_and_right(load(photo, masks=tmp_path / "masks")) == [(0, 1)]


def test_a_mask_that_leaves_out_everything_is_told(tmp_path):
    photo = save(tmp_path / "a.jpg")
    save(tmp_path / "masks" / "a.png", mode="L", color=0)
    loaded = load(photo, masks=tmp_path / "masks")
    assert not loaded.masks.any()
    assert loaded.notes == ("note: The mask a.png leaves out all of a.jpg.",)


def test_one_array_is_the_mask_of_all_images():
    use = np.zeros((45, 60))
    use[:, :30] = 1
    views = images_from_arrays([np.zeros((45, 60, 3))] * 3, masks=[use], resolution=56)
    assert left_and_right(views) == [(1, 0)] * 3


def test_the_mask_of_an_animation_is_that_of_its_frames(tmp_path):
    frames = [Image.new("RGB", (60, 45), color) for color in ((250, 0, 0), (0, 250, 0))]
    path = save(tmp_path / "walk.gif", color=frames[0], save_all=True, append_images=frames[1:])
    halves(tmp_path / "masks" / "walk.gif.png", left=True)
    assert left_and_right(load(path, masks=tmp_path / "masks")) == [(1, 0)] * 2
    halves(tmp_path / "masks" / "walk_2.png", left=False)
    assert left_and_right(load(path, masks=tmp_path / "masks")) == [(1, 0), (0, 1)]
