"""Depth files, read by Pillow, OpenCV and OpenEXR."""

import json

import numpy as np
import pytest
from PIL import Image

from manyview.scene.export import write_depth
from manyview.scene.export.depth import unique_stems, write_exr


@pytest.fixture
def masked_room(make_room):
    masks = np.ones((4, 42, 56), dtype=bool)
    masks[:, :3] = False
    room = make_room(masks=masks, names=("a.jpg", "b/a.png", "c.png", "A.JPG"))
    room.depth[1, 5, 5] = np.nan
    return room


def expected(room, frame):
    depth = np.where(np.isfinite(room.depth[frame]), room.depth[frame], 0)
    return np.where(room.masks[frame], depth, 0)


def test_png_holds_depth_to_16_bits(masked_room, tmp_path):
    files = write_depth(masked_room, tmp_path / "depth")
    assert [path.name for path in files] == ["a.png", "a_2.png", "c.png", "A_3.png"]
    about = json.loads((tmp_path / "depth" / "depth.json").read_text())
    assert about["frames"]["a_2.png"] == "b/a.png"
    cv2 = pytest.importorskip("cv2")
    for frame, path in enumerate(files):
        with Image.open(path) as image:
            assert image.mode.startswith("I;16")
            assert float(image.text["depth_scale"]) == about["scale"]
            values = np.asarray(image)
        np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), values)
        depth = expected(masked_room, frame)
        np.testing.assert_allclose(values * about["scale"], depth, atol=0.51 * about["scale"])
        np.testing.assert_array_equal(values == 0, depth == 0)


def test_npy_is_exact(masked_room, tmp_path):
    for frame, path in enumerate(write_depth(masked_room, tmp_path / "depth", "npy")):
        np.testing.assert_array_equal(np.load(path), expected(masked_room, frame))


@pytest.mark.parametrize("size", [(1, 1), (16, 7), (42, 56), (33, 250)])
def test_openexr_reads_exr_exactly(tmp_path, size):
    openexr = pytest.importorskip("OpenEXR")
    random = np.random.default_rng(0)
    for name, depth in (
        ("noise", random.random(size)),
        ("smooth", np.linspace(1, 9, size[0])[:, None] + np.zeros(size)),
    ):
        depth = depth.astype(np.float32)
        write_exr(depth, tmp_path / f"{name}.exr")
        with openexr.File(str(tmp_path / f"{name}.exr")) as file:
            np.testing.assert_array_equal(file.channels()["Z"].pixels, depth)


def test_exr_files_are_written_per_frame(masked_room, tmp_path):
    files = write_depth(masked_room, tmp_path / "depth", "exr")
    assert all(path.read_bytes()[:4] == b"\x76\x2f\x31\x01" for path in files) and len(files) == 4


def test_existing_files_and_unknown_formats_are_refused(masked_room, tmp_path):
    write_depth(masked_room, tmp_path / "depth")
    with pytest.raises(FileExistsError, match="exists already"):
        write_depth(masked_room, tmp_path / "depth")
    write_depth(masked_room, tmp_path / "depth", overwrite=True)
    with pytest.raises(ValueError, match="png, exr, npy"):
        write_depth(masked_room, tmp_path / "other", "jpg")
    assert not (tmp_path / "other").exists()


def test_stems_are_unique_without_regard_to_case():
    assert unique_stems(("x.png", "X.jpg", "x_2.png", "d\\x.png", ".png")) == ["x", "X_2", "x_2_2", "x_3", ".png"]
