import math

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from manyview.scene.images import load_images
from manyview.scene.preprocess import RESIZE_MODES, place, place_mask, plan

LOADERS = {
    "vggt_crop": {"resize": "crop"},
    "vggt_pad": {"resize": "pad"},
    "vggt_crop_group": {"resize": "crop"},
    "vggt_square140": {"resize": "square", "resolution": 140},
    "pi3_limit40000": {"resize": "pi3", "pixel_limit": 40000},
    "pi3_limit255000": {"resize": "pi3"},
}

# Pillow 13 resizes up and down first where that is less work, older ones always across first: rounding differs.
PILLOW_STEPS = 0 if int(PIL.__version__.split(".")[0]) >= 13 else 2

side = st.integers(1, 3000)
sizes = st.lists(st.tuples(side, side), min_size=1, max_size=5)
modes = st.sampled_from(RESIZE_MODES)


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "preprocess.npz") as arrays:
        return {key: arrays[key] for key in arrays.files}


@pytest.mark.parametrize("loader", LOADERS)
def test_equals_the_public_loaders_exactly(shared, golden, loader):
    """The goldens were made with Pillow 13; with an older one the public loaders differ from them as ours does."""
    keys = [key for key in golden if key.startswith(loader + "/")]
    assert keys
    for key in keys:
        files = [shared / "golden" / "images" / f"{name}.png" for name in key.split("/")[1].split("+")]
        images = load_images(files, **LOADERS[loader]).images
        steps = np.abs(images.astype(np.int16) - golden[key].transpose(0, 2, 3, 1))
        assert steps.max() <= PILLOW_STEPS, key
        assert (steps > 0).mean() < 0.03, key


def test_square_gives_the_place_of_the_picture_as_the_public_loader(golden):
    for key in (key for key in golden if key.startswith("vggt_square140_coords/")):
        x1, y1, x2, y2, width, height = golden[key][0].astype(np.float64)
        scale_x, scale_y, offset_x, offset_y = plan([(int(width), int(height))], "square", 140)[0].scale_offset()
        np.testing.assert_allclose([scale_x * x1 + offset_x, scale_x * x2 + offset_x], [0, width], atol=1e-4)
        np.testing.assert_allclose([scale_y * y1 + offset_y, scale_y * y2 + offset_y], [0, height], atol=1e-4)


@settings(deadline=None)
@given(sizes, modes, st.sampled_from([(518, 14), (224, 14), (28, 14), (64, 16)]))
def test_canvases_are_equal_and_whole_patches(sizes, mode, resolution_patch):
    resolution, patch = resolution_patch
    placements = plan(sizes, mode, resolution, patch, pixel_limit=resolution**2)
    canvas = placements[0].canvas
    assert all(each.canvas == canvas for each in placements)
    assert all(length % patch == 0 and length >= patch for length in canvas)
    assert canvas[0] * canvas[1] <= resolution**2
    for size, each in zip(sizes, placements, strict=True):
        assert each.source == size
        assert all(
            start >= 0 and start + length <= whole
            for start, length, whole in zip(each.offset, each.content, canvas, strict=True)
        )


@settings(deadline=None)
@given(sizes, modes)
def test_scale_offset_maps_the_placed_part_onto_the_original(sizes, mode):
    for each in plan(sizes, mode, 224):
        scale_x, scale_y, offset_x, offset_y = each.scale_offset()
        left, top = scale_x * each.offset[0] + offset_x, scale_y * each.offset[1] + offset_y
        width, height = scale_x * each.content[0], scale_y * each.content[1]
        assert math.isclose(left + each.border[0], scale_x * each.crop[0], abs_tol=1e-6)
        assert math.isclose(width, each.source[0] + each.border[0] + each.border[2], abs_tol=1e-6)  # never cut
        if mode == "crop":
            assert top >= -1e-6
            assert top + height <= each.source[1] + 1e-6
        else:
            assert math.isclose(top, -each.border[1], abs_tol=1e-6)
            assert math.isclose(height, each.source[1] + each.border[1] + each.border[3], abs_tol=1e-6)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(100, 3000), st.integers(100, 3000)), min_size=1, max_size=5))
def test_keep_does_not_stretch_visibly(sizes):
    for each in plan(sizes, "keep", 518):
        scale_x, scale_y, _, _ = each.scale_offset()
        stretch = scale_x / scale_y
        assert abs(stretch - 1) <= max(0.12, 1 / min(each.content))  # 10 %, or rounding of a letterboxed side


def test_keep_takes_the_most_common_shape_and_letterboxes_the_rest():
    placements = plan([(300, 400), (400, 300), (800, 600), (100, 1000)], "keep", 518)
    assert {each.canvas for each in placements} == {(518, 392)}
    assert placements[1].resized == placements[2].resized == (518, 392)
    assert placements[0].resized == (294, 392)
    assert placements[0].offset == (112, 0)
    assert placements[3].resized == (39, 392)


def test_keep_pads_what_rounding_would_stretch():
    (flat,) = plan([(40000, 400)], "keep", 518)
    assert (flat.canvas, flat.resized, flat.offset) == ((518, 14), (518, 5), (0, 4))


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("size", [(250, 120), (120, 250)])
def test_pixels_lie_where_scale_offset_says(mode, size):
    ramp_x = np.broadcast_to(np.arange(size[0], dtype=np.uint8), size[::-1])
    ramp_y = np.broadcast_to(np.arange(size[1], dtype=np.uint8)[:, None], size[::-1])
    picture = Image.fromarray(np.stack([ramp_x, ramp_y, ramp_x], axis=-1))
    (placement,) = plan([size], mode, 112, pixel_limit=112 * 112)
    pixels, mask = np.asarray(place(picture, placement)), np.asarray(place_mask(None, placement)) > 0
    assert pixels.shape[:2] == mask.shape == placement.canvas[::-1]
    scale_x, scale_y, offset_x, offset_y = placement.scale_offset()
    y, x = np.nonzero(mask)
    want_x, want_y = scale_x * (x + 0.5) + offset_x - 0.5, scale_y * (y + 0.5) + offset_y - 0.5
    inner = (want_x > 8) & (want_x < size[0] - 9) & (want_y > 8) & (want_y < size[1] - 9)
    assert inner.sum() > 0.6 * len(inner)
    assert np.abs(pixels[y, x, 0] - want_x)[inner].max() < 0.8
    assert np.abs(pixels[y, x, 1] - want_y)[inner].max() < 0.8


def test_padding_is_white_and_masked():
    (placement,) = plan([(100, 50)], "pad", 112)
    picture = Image.new("RGB", (100, 50), (10, 20, 30))
    pixels, mask = np.asarray(place(picture, placement)), np.asarray(place_mask(None, placement))
    assert (pixels[mask == 0] == 255).all()
    assert (pixels[mask == 255] == [10, 20, 30]).all()
    assert (mask == 255).sum() == 112 * 56


def test_a_shrunk_picture_lands_in_the_same_place():
    (placement,) = plan([(2000, 1000)], "square", 112)
    whole = place(Image.new("RGB", (2000, 1000), (200, 100, 50)), placement)
    shrunk = place(Image.new("RGB", (500, 250), (200, 100, 50)), placement)
    assert np.abs(np.asarray(whole, np.int16) - np.asarray(shrunk)).max() <= 40  # the border's edge is softer
    np.testing.assert_array_equal(np.asarray(whole)[56], np.asarray(shrunk)[56])


def test_no_sizes_no_placements():
    assert plan([], "keep") == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"resize": "stretch"}, "resize is 'stretch': choose one of keep, crop, pad, square, pi3"),
        ({"resolution": 500}, "resolution is 500: it must be a multiple of the patch size 14, as 490 or 504"),
        ({"resolution": 3}, "as 14 or 28"),
        ({"patch_size": 0}, "patch_size is 0"),
        ({"resize": "pi3", "pixel_limit": 100}, "pixel_limit is 100"),
    ],
)
def test_bad_options_are_named(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        plan([(10, 10)], **options)
