"""No half file under a final name, whatever happens."""

import os

import pytest

from manyview.scene.export.atomic import new_file, new_folder


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_file_leaves_the_old_one(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), new_file(path, overwrite=True) as partial:
        partial.write_text("ne")
        raise error
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(FileExistsError), new_file(path) as partial:
        partial.write_text("mine")
        path.write_text("theirs")
    assert path.read_text() == "theirs" and len(list(tmp_path.iterdir())) == 1


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(FileExistsError, match="is a folder"), new_file(tmp_path, overwrite=True):
        pass


def test_folders_are_joined_not_replaced(tmp_path):
    folder = tmp_path / "f"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "mine").write_text("mine")
    with new_folder(folder) as partial:
        (partial / "deep").mkdir()
        (partial / "deep" / "new").write_text("new")
    assert sorted(path.name for path in (folder / "deep").iterdir()) == ["mine", "new"]
    with pytest.raises(FileExistsError), new_folder(folder) as partial:
        (partial / "other").write_text("x")
        (partial / "deep").mkdir()
        (partial / "deep" / "new").write_text("newer")
    assert (folder / "deep" / "new").read_text() == "new" and not (folder / "other").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_file_that_appears_at_the_last_moment_is_kept(tmp_path, monkeypatch):
    path, link = tmp_path / "a.txt", os.link

    def late(*names):
        path.write_text("theirs")
        link(*names)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(FileExistsError, match="exists already"), new_file(path) as partial:
        partial.write_text("mine")
    assert path.read_text() == "theirs" and len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(os, "link", lambda *names: (_ for _ in ()).throw(OSError("no hard links here")))
    with new_file(tmp_path / "b.txt") as partial:
        partial.write_text("mine")
    assert (tmp_path / "b.txt").read_text() == "mine"
