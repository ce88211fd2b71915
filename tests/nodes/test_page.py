"""A folder of results as a zip."""

import zipfile
from pathlib import Path

import pytest


@pytest.fixture
def output(nodes: dict, tmp_path: Path) -> Path:
    """A folder below the output folder."""
    folder = tmp_path / "output" / "manyview" / "colmap_00001_" / "colmap"
    (folder / "sparse" / "0").mkdir(parents=True)
    (folder / "sparse" / "0" / "cameras.bin").write_bytes(b"123")
    (folder / "photo.jpg").write_bytes(b"4")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


def test_zip_holds_the_folder_and_is_made_anew_after_a_change(comfyui, output: Path) -> None:
    name = "manyview/colmap_00001_/colmap"
    file = comfyui.page.zip_of(name)
    assert file.name == "manyview_colmap_00001__colmap.zip"
    with zipfile.ZipFile(file) as archive:
        assert sorted(archive.namelist()) == ["photo.jpg", "sparse/0/cameras.bin"]
        assert archive.read("sparse/0/cameras.bin") == b"123"
    assert comfyui.page.zip_of(name) == file
    (output / "more.txt").write_text("x")
    assert comfyui.page.zip_of(name) != file
    assert not list(file.parent.glob("*.part"))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../..", "/etc", "manyview/gone", "manyview/colmap_00001_/colmap/photo.jpg"]
)
def test_other_places_are_refused(comfyui, output: Path, name: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError)):
        comfyui.page.zip_of(name)
