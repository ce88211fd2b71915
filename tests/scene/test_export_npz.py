"""NPZ files keep everything."""

from pathlib import Path

import numpy as np
import pytest

from manyview.scene.export import read_npz, write_npz
from manyview.scene.pointcloud import point_cloud


@pytest.mark.parametrize("compress", [False, True])
def test_everything_comes_back(make_room, tmp_path, compress):
    tracks = {"positions": np.ones((4, 3, 2), np.float32), "visibility": np.ones((4, 3), np.float32)}
    room = make_room(
        masks=np.ones((4, 42, 56), dtype=bool),
        tracks=tracks,
        paths=(Path("a.jpg"), None, None, None),
        timings={"encoder": 1.5},
        settings={"keep": 0.5},
        density=np.ones((2, 3)),
        peak_memory_bytes=7,
    )
    write_npz(room, tmp_path / "room.npz", point_cloud(room), compress=compress)
    again = read_npz(tmp_path / "room.npz")
    for name, value in room.to_dict().items():
        other = again.to_dict()[name]
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(other, value)
            assert other.dtype == value.dtype
        elif name == "tracks":
            assert set(other) == set(tracks)
            np.testing.assert_array_equal(other["positions"], tracks["positions"])
        else:
            assert other == value


def test_plain_numpy_finds_arrays_by_name(make_room, tmp_path):
    room = make_room(scale_offset=(2.0, 2.0, 5.0, 0.0))
    cloud = point_cloud(room)
    write_npz(room, tmp_path / "room.npz", cloud)
    with np.load(tmp_path / "room.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["original_intrinsics"], room.original_intrinsics())
        np.testing.assert_array_equal(file["camera_to_world"], room.camera_to_world)
        np.testing.assert_array_equal(file["cloud_points"], cloud.points)
        np.testing.assert_array_equal(file["cloud_pixel"], cloud.pixel)


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    with pytest.raises(ValueError, match=r"other\.npz is not a ManyView"):
        read_npz(tmp_path / "other.npz")
