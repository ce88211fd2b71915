"""Tanks & Temples: registered images only, by name, evenly spaced; a COLMAP model in binary form."""

import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from manyview.evaluation.datasets.tanks import TanksAndTemples, read_colmap
from manyview.evaluation.trajectory import inverse


def write_model(folder: Path, names: list[str], world_to_camera: np.ndarray) -> None:
    """cameras.bin, images.bin and points3D.bin, written from COLMAP's description of the format."""
    folder.mkdir(parents=True)
    camera = struct.pack("<QIiQQ4d", 1, 1, 1, 64, 36, 50.0, 50.0, 32.0, 18.0)  # PINHOLE
    (folder / "cameras.bin").write_bytes(camera)
    (folder / "points3D.bin").write_bytes(struct.pack("<Q", 0))
    parts = [struct.pack("<Q", len(names))]
    for number, (name, pose) in enumerate(zip(names, world_to_camera, strict=True), start=1):
        x, y, z, w = Rotation.from_matrix(pose[:, :3]).as_quat()
        parts.append(struct.pack("<I7dI", number, w, x, y, z, *pose[:, 3], 1) + name.encode() + b"\0")
        parts.append(struct.pack("<Q", 0))
    (folder / "images.bin").write_bytes(b"".join(parts))


@pytest.fixture
def data(tmp_path: Path, world) -> tuple[Path, np.ndarray]:
    """Barn with 9 pictures, of which 8 are registered, in an order that is not that of names."""
    poses = inverse(world.cameras(9))[:, :3]
    names = [f"{i:06d}.jpg" for i in range(9)]
    for i, name in enumerate(names):
        world.save_picture(tmp_path / "training" / "Barn" / name, world.picture(i, (64, 36)))
    order = [5, 0, 3, 1, 8, 2, 7, 6]  # 4 is not registered
    write_model(tmp_path / "colmap_raw" / "training__Barn" / "0", [names[i] for i in order], poses[order])
    return tmp_path, poses


def test_reads_colmap(data: tuple[Path, np.ndarray]) -> None:
    pytest.importorskip("pycolmap", reason="pycolmap is not installed")
    cameras = read_colmap(data[0] / "colmap_raw" / "training__Barn" / "0")
    assert len(cameras) == 8
    np.testing.assert_allclose(cameras["000003.jpg"], data[1][3], atol=1e-12)
    with pytest.raises(FileNotFoundError, match=r"images\.bin"):
        read_colmap(data[0])


def test_frames_and_numbers(data: tuple[Path, np.ndarray], world) -> None:
    pytest.importorskip("pycolmap", reason="pycolmap is not installed")
    benchmark = TanksAndTemples(data[0], 4)
    scene = benchmark.load("training/Barn")
    assert scene.frames == ("000000.jpg", "000002.jpg", "000006.jpg", "000008.jpg")  # places 0, 2, 5, 7 of eight
    assert len(TanksAndTemples(data[0], None).load("training/Barn").frames) == 8
    assert len(TanksAndTemples(data[0], 25).load("training/Barn").frames) == 8
    numbers = world.scored(scene, benchmark.rules)
    assert numbers["rra_5"] == numbers["rta_5"] == 100
    assert numbers["procrustes_ate"] == pytest.approx(0, abs=1e-9)
    assert benchmark.rules.pooling == "scenes"


def test_missing(data: tuple[Path, np.ndarray]) -> None:
    lines = TanksAndTemples(data[0], 25).missing()
    assert len(lines) == 20 and len(TanksAndTemples(data[0], 25).scenes()) == 21
    assert TanksAndTemples(data[0], None).name == "tanks-full"
