import numpy as np
import pytest
import torch
from manyview_tests_pictures import sentence_of

from manyview.scene.images import images_from_arrays


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
