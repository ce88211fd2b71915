import shutil

import numpy as np
import pytest
from manyview_tests_pictures import left_right, load, save
from PIL import Image

from manyview.scene.images import load_images, take_views


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


def test_some_views_of_a_set(tmp_path):
    for number in range(4):
        Image.new("RGB", (40, 30 + 10 * (number == 3)), (number, 0, 0)).save(tmp_path / f"{number}.png")
    views = load_images(tmp_path, resolution=56)
    some = take_views(views, [3, 1])
    assert some.names == ("3.png", "1.png") and some.images[:, 20, 28, 0].tolist() == [3, 1]
    assert some.paths[0].name == "3.png" and some.video_frames == (None, None)
    assert some.original_sizes.tolist() == [[40, 40], [40, 30]] and not some.masks[0].all() and some.masks[1].all()
    assert take_views(views, range(4)) is views
