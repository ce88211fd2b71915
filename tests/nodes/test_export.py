"""All formats in one folder."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from manyview.nodes import export as nodes_export
from manyview.nodes.export import export
from manyview.nodes.load_images import load_images
from manyview.nodes.load_model import load_model
from manyview.nodes.point_cloud import point_cloud
from manyview.nodes.reconstruct import reconstruct
from manyview.scene.images import images_from_arrays


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


def test_what_fails_is_told_and_the_rest_is_written(result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nodes_export, "write_npz", full)
    with pytest.raises(nodes_export.IncompleteExport, match=r"npz could not be written: .*No space left") as caught:
        export(*result, tmp_path / "out", ["npz", "ply", "depth"])
    assert list(caught.value.reasons) == ["npz"] and (tmp_path / "out" / "points.ply") in caught.value.files
    assert (tmp_path / "out" / "depth" / "depth.json").exists()
    with pytest.raises(OSError, match="No space left"):
        export(*result, tmp_path / "alone", ["npz"])
    assert not (tmp_path / "alone").exists()


def test_cancelling_is_no_failure(result, tmp_path: Path) -> None:
    def cancel(stage: str, done: int, total: int) -> None:
        if stage == "tracks":
            raise RuntimeError("cancelled")

    with pytest.raises(RuntimeError, match=r"^cancelled$"):
        export(*result, tmp_path / "out", ["ply", "colmap", "npz"], progress=cancel)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["points.ply"]


def test_nothing_is_written_where_one_result_is_there(result, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "scene.npz").write_text("precious")
    with pytest.raises(FileExistsError, match=r"scene\.npz exists already"):
        export(*result, out, ["ply", "npz"])
    assert [path.name for path in out.iterdir()] == ["scene.npz"]


def test_a_disk_that_is_too_small_is_told(result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = images_from_arrays(np.zeros((2, 56, 56, 3), np.uint8))
    nodes_export.check_space(images, tmp_path, ["npz", "colmap"])
    monkeypatch.setattr(nodes_export.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    nodes_export.check_space(images, tmp_path, ["ply"])
    with pytest.raises(OSError, match=r"need at least .* are free in .*; make room"):
        nodes_export.check_space(images, tmp_path, ["npz"])


@pytest.mark.parametrize("formats", [[], ["ply", "stl"]])
def test_unknown_formats_are_refused(result, formats: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="formats must be some of ply, glb"):
        export(*result, tmp_path, formats)
    assert not any(path.suffix == ".ply" for path in tmp_path.iterdir())
