"""One run at a time in a folder, and nothing in the way after a run that was ended."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from manyview.scene.export.atomic import new_file, new_folder
from manyview.scene.export.claim import MARK, FolderInUse, check_links, claimed, contents, tidy, was_ended

ENDED = """
import runpy, sys
runpy.run_path(sys.argv[1] + "/__main__.py", run_name="manyview_registration")
from pathlib import Path
from manyview.scene.export.atomic import new_file, new_folder
from manyview.scene.export.claim import claimed
out = Path(sys.argv[2])
with claimed(out), new_folder(out / "depth") as folder, new_file(folder / "a.png") as file:
    (out / "points.ply").write_text("finished")
    file.write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_a_run_that_is_killed_leaves_nothing_in_the_way(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    command = [sys.executable, "-c", ENDED, str(root), str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        with pytest.raises(FolderInUse, match="another run is writing into"), claimed(out):
            pass
        assert (out / "points.ply").exists()
        process.kill()
    assert was_ended(out) and [path.name for path in contents(out)] == ["points.ply"]
    with claimed(out) as ended:
        assert ended and sorted(path.name for path in out.iterdir()) == [MARK, "points.ply"]
    assert [path.name for path in out.iterdir()] == ["points.ply"] and not was_ended(out)
    with claimed(out) as ended:
        assert not ended


def test_what_was_made_for_nothing_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), claimed(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
        raise KeyboardInterrupt
    assert not any(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    with claimed(tmp_path / "mine"):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"] and not any((tmp_path / "mine").iterdir())


def test_half_files_alone_are_cleared_away_without_a_mark(tmp_path: Path) -> None:
    (tmp_path / ".depth.0123abcd.partial").mkdir()
    (tmp_path / ".points.ply.0123abcd.partial").touch()
    assert contents(tmp_path) == []
    with claimed(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [MARK]


def test_who_has_a_folder_may_take_it_again_and_another_thread_may_not(tmp_path: Path) -> None:
    errors = []

    def other() -> None:
        try:
            with claimed(tmp_path):
                pass
        except FolderInUse as error:
            errors.append(error)

    with claimed(tmp_path):
        with claimed(tmp_path / "." / ".." / tmp_path.name) as ended:
            assert not ended
        assert was_ended(tmp_path)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(errors) == 1 and not was_ended(tmp_path)
    other()
    assert len(errors) == 1


def test_only_one_of_many_has_it(tmp_path: Path) -> None:
    inside, most, got = [0], [0], [0]

    def take() -> None:
        for _ in range(30):
            try:
                with claimed(tmp_path / "out"):
                    inside[0] += 1
                    most[0], got[0] = max(most[0], inside[0]), got[0] + 1
                    inside[0] -= 1
            except FolderInUse:
                continue

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1 and got[0] >= 1


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/nowhere/unmounted")
    for path in (tmp_path / "link", tmp_path / "link" / "below"):
        with pytest.raises(ValueError, match=r"link is a link to /nowhere/unmounted, which is not there"):
            check_links(path)


def test_names_of_half_files_fit_whatever_the_name(tmp_path: Path) -> None:
    for name in ("\u5199" * 80, "v" * 250):
        with new_file(tmp_path / name) as file:
            file.write_text(name)
        with new_folder(tmp_path / f"f{name[:-1]}") as folder:
            (folder / "x").touch()
        assert (tmp_path / name).read_text() == name


def test_what_ended_runs_left_beside_is_tidied(tmp_path: Path) -> None:
    for name in ("one", "two", "busy"):
        (tmp_path / name / ".colmap.0123abcd.partial" / "images").mkdir(parents=True)
        (tmp_path / name / MARK).touch()
    (tmp_path / "two" / "points.ply").touch()
    with claimed(tmp_path / "busy"):
        (tmp_path / "busy" / ".depth.0123abcd.partial").mkdir()
        thread = threading.Thread(target=tidy, args=(tmp_path,))
        thread.start()
        thread.join()
        assert (tmp_path / "busy" / ".depth.0123abcd.partial").exists()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*")) == [
        "busy/.depth.0123abcd.partial",
        "two/points.ply",
    ]
    assert not (tmp_path / "one").exists()
