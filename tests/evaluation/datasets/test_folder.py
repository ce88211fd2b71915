"""Photos with cameras of one's own: COLMAP in both forms, transforms.json, and what is said when something is wrong."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from manyview import commands
from manyview.evaluation.datasets.catalog import open_benchmarks
from manyview.evaluation.datasets.colmap import read_views
from manyview.evaluation.datasets.folder import Folder, fitted_size
from manyview.evaluation.scoring import score
from manyview.evaluation.trajectory import inverse

PHOTO = (64, 48)  # width, height
FOCAL = 80.0


def quaternion(pose: np.ndarray) -> list[float]:
    x, y, z, w = Rotation.from_matrix(pose[:, :3]).as_quat()
    return [w, x, y, z, *pose[:, 3]]


def write_text_model(folder: Path, names: list[str], poses: np.ndarray, camera: str = "SIMPLE_PINHOLE") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cameras.txt").write_text(f"# cameras\n7 {camera} 128 96 {2 * FOCAL} 64 48\n")
    lines = [
        f"{i + 1} {' '.join(map(repr, map(float, quaternion(p))))} 7 {n}\n\n"
        for i, (n, p) in enumerate(zip(names, poses, strict=True))
    ]
    (folder / "images.txt").write_text("# images\n" + "".join(lines))


def write_binary_model(folder: Path, names: list[str], poses: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    camera = struct.pack("<QIiQQ4d", 1, 7, 1, 128, 96, 2 * FOCAL, 2 * FOCAL, 64, 48)
    (folder / "cameras.bin").write_bytes(camera)
    parts = [struct.pack("<Q", len(names))]
    for number, (name, pose) in enumerate(zip(names, poses, strict=True), start=1):
        parts.append(struct.pack("<I7dI", number, *quaternion(pose), 7) + name.encode() + b"\0")
        parts.append(struct.pack("<Qddq", 1, 1.0, 2.0, 5))
    (folder / "images.bin").write_bytes(b"".join(parts))


def write_transforms(folder: Path, names: list[str], poses: np.ndarray, **about: float) -> None:
    whole = inverse(poses)
    whole[:, :3, 1:3] *= -1  # OpenGL: y up, z backward
    frames = [{"file_path": f"images/{n}", "transform_matrix": m.tolist()} for n, m in zip(names, whole, strict=True)]
    (folder / "transforms.json").write_text(json.dumps({**about, "frames": frames}))


@pytest.fixture
def photos(tmp_path: Path, world) -> tuple[Path, list[str], np.ndarray]:
    """A scene's folder with 5 pictures, their names and poses; no cameras yet."""
    poses = inverse(world.cameras(5))[:, :3]
    names = [f"view {i}.png" for i in range(5)]
    for index, name in enumerate(names):
        world.save_picture(tmp_path / "yard" / "images" / name, world.picture(index, PHOTO))
    return tmp_path / "yard", names, poses


@pytest.mark.parametrize("form", ["text", "binary", "transforms", "angle"])
def test_every_form_gives_the_same_scene(form: str, photos, world) -> None:
    folder, names, poses = photos
    if form == "text":
        write_text_model(folder / "sparse" / "0", names[::-1], poses[::-1])
    elif form == "binary":
        write_binary_model(folder / "sparse" / "0", names, poses)
    elif form == "transforms":
        write_transforms(folder, names, poses, fl_x=2 * FOCAL, w=128)
    else:
        write_transforms(folder, names, poses, camera_angle_x=2 * np.arctan(0.5 * PHOTO[0] / FOCAL))
    benchmark = Folder(folder.parent, views=3, size=112)
    assert list(benchmark.scenes()) == ["yard"] and benchmark.missing() == []
    scene = benchmark.load("yard")
    assert [Path(name).name for name in scene.frames] == ["view 0.png", "view 2.png", "view 4.png"]
    assert scene.images.shape == (3, 3, 84, 112)
    assert [round(float(i.mean()) * 255) for i in scene.images] == [20, 40, 60]
    np.testing.assert_allclose(scene.truth.world_to_camera, poses[::2], atol=1e-9)
    np.testing.assert_allclose(scene.truth.focal, FOCAL * 112 / PHOTO[0])
    numbers = world.scored(scene, benchmark.rules)
    assert numbers["auc_30"] == 100


def test_focal_error(photos, world) -> None:
    folder, names, poses = photos
    write_text_model(folder, names, poses)
    scene = Folder(folder, size=56).load(folder.name)  # the folder itself is the scene
    prediction = world.perfect(scene)
    intrinsics = np.tile(np.eye(3), (5, 1, 1)) * 1.2 * FOCAL * 56 / PHOTO[0]
    numbers = score(scene, replace(prediction, intrinsics=intrinsics), Folder.rules).numbers
    assert numbers["focal_error"] == pytest.approx(20) and numbers["focal_ratio"] == pytest.approx(1.2)
    assert "focal_error" not in score(scene, prediction, Folder.rules).numbers


def test_photos_of_another_shape_keep_square_pixels(photos, world) -> None:
    folder, names, poses = photos
    world.save_picture(folder / "images" / names[1], world.picture(1, (48, 64)))
    write_text_model(folder / "sparse", names, poses)
    scene = Folder(folder, size=112).load(folder.name)
    assert scene.images.shape == (5, 3, 84, 112)
    assert scene.truth.focal[1] == pytest.approx(FOCAL / PHOTO[0] * 48 * 112 / 48)  # scaled until its width fits
    assert fitted_size((1080, 1920), 224) == (126, 224)
    assert fitted_size((5000, 100), 224) == (224, 14)


def test_fisheye_cameras_have_poses_but_no_focal_length(photos) -> None:
    folder, names, poses = photos
    write_text_model(folder / "sparse", names, poses, "OPENCV_FISHEYE")
    assert np.isnan(read_views(folder / "sparse")[names[0]][1])


def test_what_is_wrong_is_said(photos, tmp_path: Path) -> None:
    folder, names, poses = photos
    assert "neither a COLMAP model nor" in Folder(tmp_path).missing()[0]
    write_text_model(folder / "sparse", [*names, "lost.png"], np.concatenate([poses, poses[:1]]))
    with pytest.raises(FileNotFoundError, match=r"lost\.png is not there"):
        Folder(tmp_path).load("yard")
    write_binary_model(folder / "sparse", names, poses)
    data = (folder / "sparse" / "images.bin").read_bytes()
    (folder / "sparse" / "images.bin").write_bytes(data[:-30])
    with pytest.raises(ValueError, match="ends too early"):
        Folder(tmp_path).load("yard")
    (folder / "sparse" / "images.bin").unlink()
    (folder / "sparse" / "images.txt").write_text("1 2 3\n")
    with pytest.raises(ValueError, match="is no image"):
        Folder(tmp_path).load("yard")
    (folder / "sparse" / "images.txt").unlink()
    (folder / "transforms.json").write_text('{"frames": [{"file_path": "a.png"}]}')
    with pytest.raises(ValueError, match="'transform_matrix' is missing"):
        Folder(tmp_path).load("yard")
    with pytest.raises(ValueError, match="at least 2 views"):
        open_benchmarks(["folder"], root=tmp_path, frames=["1"])
    with pytest.raises(ValueError, match="one number of --frames"):
        open_benchmarks(["folder"], root=tmp_path, frames=["8", "24"])


def test_the_command_reports_every_scene(photos, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder, names, poses = photos
    write_text_model(folder / "sparse" / "0", names, poses)
    words = ["evaluate", "--data", "folder", "--root", str(tmp_path), "--frames", "3", "--size", "28"]
    assert commands.main([*words, "--device", "cpu", "--no-plots", "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "AUC@30 %" in shown and "focal error %" in shown
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["benchmarks"][0]["rows"]
    assert [(row["scene"], row["frames"], row["error"]) for row in rows] == [("yard", 3, None)]
    assert {"auc_5", "auc_15", "auc_30", "focal_error"} <= set(rows[0]["metrics"])
