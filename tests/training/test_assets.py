"""Pictures and meshes on their way into a pack, without fetching anything."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manyview.training import assets
from manyview.training.assets import SIDE, Source, mesh_parts, picture_parts, read_mesh, read_obj, simplified
from manyview.training.shapes import GROUPS, procedural_shapes
from manyview.training.solids import sphere

PHOTO = Source("any", "photo", "", "CC0", 5, crops=3)
MESH = Source("any", "mesh", "", "CC0", 5)


def encoded(picture: np.ndarray, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, form)
    return buffer.getvalue()


def obj_text(vertices: np.ndarray, faces: np.ndarray) -> str:
    lines = ["v " + " ".join(map(str, v)) for v in vertices]
    half = len(faces) // 2
    lines += ["usemtl wood", *("f " + " ".join(f"{i + 1}/1/1" for i in f) for f in faces[:half])]
    return "\n".join([*lines, "usemtl iron", *("f " + " ".join(f"{i + 1}" for i in f) for f in faces[half:])])


def test_photographs_are_cut_into_squares() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 500, 3), np.uint8)
    parts = picture_parts(encoded(noise), PHOTO)
    assert len(parts) == 3
    assert all(Image.open(io.BytesIO(part)).size == (SIDE, SIDE) for part, _ in parts)
    assert len({part for part, _ in parts}) == 3
    assert picture_parts(encoded(noise), PHOTO) == parts


@pytest.mark.parametrize("kind", ["flat", "tiny", "clear", "broken"])
def test_useless_pictures_are_left_out(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 4), np.uint8)
    if kind == "flat":
        noise[:] = 90
    if kind == "clear":
        noise[..., 3] = 0
    data = encoded(noise[:20, :20] if kind == "tiny" else noise)
    assert picture_parts(b"no picture" if kind == "broken" else data, PHOTO) == []


def test_meshes_keep_their_materials_and_become_small() -> None:
    vertices, faces, _ = sphere(rings=60)
    text = obj_text(vertices * 7 + 3, faces)
    assert set(read_obj(text)[2]) == {0, 1}
    ((part, suffix),) = mesh_parts(text.encode(), MESH)
    points, triangles, slots = read_mesh(part)
    assert suffix == ".npz" and 100 < len(triangles) <= assets.MOST_FACES
    assert np.abs(points).max() == pytest.approx(1.0, abs=0.02)
    assert triangles.max() < len(points) and set(slots) == {0, 1}
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.0, atol=0.05)


def test_a_small_mesh_is_left_as_it_is() -> None:
    vertices, faces, slots = sphere(rings=6)
    assert len(simplified(vertices, faces, slots)[1]) >= len(faces) - 12


def test_the_pack_names_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = encoded(np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8))
    files = {"data/b.png": noise, "data/a.png": noise, "data/c.txt": b"-"}
    monkeypatch.setattr(assets, "package_file", lambda package, folder: tmp_path)
    monkeypatch.setattr(assets.shutil, "which", lambda tool: tool)
    monkeypatch.setattr(
        assets, "walk", lambda package, wanted: iter(files) if wanted is None else [(n, files[n]) for n in wanted]
    )
    source = Source("some-textures", "texture", "data/", "CC0", 9)
    assert assets.build_pack(tmp_path / "pack.zip", tmp_path / "deb", (source,)) == {"texture": 2}
    with zipfile.ZipFile(tmp_path / "pack.zip") as pack:
        assert pack.namelist() == ["texture/00000.jpg", "texture/00001.jpg", "sources.json"]
        assert b"some-textures" in pack.read("sources.json") and b"CC0" in pack.read("sources.json")


def test_procedural_shapes_are_whole() -> None:
    shapes = procedural_shapes(3, share=0.04)
    assert {shape.group for shape in shapes} == set(GROUPS)
    for shape in shapes:
        assert np.isfinite(shape.vertices).all() and np.abs(shape.vertices).max() == pytest.approx(1.0, abs=1e-3)
        assert shape.faces.min() >= 0 and shape.faces.max() < len(shape.vertices)
        assert shape.slots.shape == (len(shape.faces),) and shape.slots.min() >= 0 and shape.slots.max() < assets.SLOTS
