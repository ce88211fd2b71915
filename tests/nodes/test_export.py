"""All formats in one folder."""

from pathlib import Path

import numpy as np
import pytest

from manyview.nodes.export import export
from manyview.nodes.load_images import load_images
from manyview.nodes.load_model import load_model
from manyview.nodes.point_cloud import point_cloud
from manyview.nodes.reconstruct import reconstruct


@pytest.fixture
def result(tiny_model: Path, photos: Path):
    model = load_model(str(tiny_model), device="cpu")
    scene = reconstruct(model, load_images(photos, model=model))
    return scene, point_cloud(scene, max_points=200)


def test_every_file_is_named(result, tmp_path: Path) -> None:
    files = export(*result, tmp_path / "out", depth_format="npy", colmap_text=True)
    assert sorted(files) == sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    names = {path.relative_to(tmp_path / "out").as_posix() for path in files}
    assert {"points.ply", "scene.glb", "scene.npz", "depth/photo_1.npy", "preview/cloud.png"} <= names
    assert {"colmap/sparse/0/points3D.txt", "colmap/sparse/0/points3D.bin", "colmap/images/photo_2.jpg"} <= names


def test_colmap_gets_fewer_points(result, tmp_path: Path) -> None:
    scene, cloud = result
    export(scene, cloud, tmp_path, ["colmap", "npz"], colmap_points=50)
    stored = (tmp_path / "colmap" / "sparse" / "0" / "points3D.bin").read_bytes()[:8]
    assert 0 < int.from_bytes(stored, "little") <= 50 < len(cloud)
    assert len(np.load(tmp_path / "scene.npz")["cloud_points"]) == len(cloud)


def test_existing_files_stay(result, tmp_path: Path) -> None:
    export(*result, tmp_path, ["ply"])
    with pytest.raises(FileExistsError, match=r"points\.ply exists"):
        export(*result, tmp_path, ["ply"])
    assert export(*result, tmp_path, ["ply"], overwrite=True) == [tmp_path / "points.ply"]


@pytest.mark.parametrize("formats", [[], ["ply", "stl"]])
def test_unknown_formats_are_refused(result, formats: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="formats must be some of ply, glb"):
        export(*result, tmp_path, formats)
    assert not any(path.suffix == ".ply" for path in tmp_path.iterdir())
