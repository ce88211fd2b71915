"""The services of a host, by the one that is a plain folder."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from manyview.nodes.graph.host import FolderHost, entry, filled, inside, temporary


def test_sources_are_folders_at_any_depth_and_videos(host: FolderHost) -> None:
    for name in ("b10", "b2", "b2/inner"):
        (host.input_folder / name).mkdir()
    (host.input_folder / "clip.MP4").touch()
    (host.input_folder / "photo.jpg").touch()
    (host.input_folder / "b2" / "hidden.mp4").touch()
    assert host.input_sources() == ["b2", "b2/inner", "b10", "clip.MP4"]


def test_folders_that_are_named(tmp_path: Path) -> None:
    named = {f"{name}_folder": tmp_path / "elsewhere" / name for name in ("output", "model")}
    host = FolderHost(tmp_path / "base", **named)
    assert host.output_folder == tmp_path / "elsewhere" / "output" and host.model_folder.is_dir()
    assert host.input_folder == tmp_path / "base" / "input" and host.temp_folder.is_dir()
    assert not (tmp_path / "base" / "models").exists()


def test_model_files(host: FolderHost) -> None:
    (host.model_folder / "mine").mkdir()
    (host.model_folder / "mine" / "a.safetensors").touch()
    assert host.model_files() == ["mine/a.safetensors"]
    assert host.model_path("mine/a.safetensors") == host.model_folder / "mine" / "a.safetensors"
    with pytest.raises(FileNotFoundError, match="refresh and choose again"):
        host.model_path("gone.safetensors")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", ".."])
def test_names_that_lead_out_are_refused(host: FolderHost, name: str) -> None:
    with pytest.raises(ValueError, match="leads out"):
        inside(host.input_folder, name)
    with pytest.raises(ValueError, match="leads out"):
        host.output_place(name)


def test_a_link_that_leads_out_is_refused(host: FolderHost, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (host.input_folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="leads out"):
        inside(host.input_folder, "link")


def test_output_places_are_new(host: FolderHost) -> None:
    first = host.output_place("manyview/scene")
    assert first == host.output_folder / "manyview" / "scene_00001_"
    assert first.is_dir() and not any(first.iterdir())
    (first.parent / "scene_00007_.ply").touch()
    (first.parent / "scene_xyz").touch()
    assert host.output_place("manyview/scene").name == "scene_00008_"
    assert host.output_place("manyview/other").name == "other_00001_"
    assert host.output_place("%year%-%month%/x").parent.name == time.strftime("%Y-%m")
    assert host.output_place("12:30/a?", ".png").relative_to(host.output_folder).as_posix() == "12_30/a__00001_.png"


@pytest.mark.parametrize("suffix", ["", ".png"])
def test_many_at_once_get_different_places(host: FolderHost, suffix: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(lambda _: host.output_place("many/x", suffix), range(80)))
    assert len(set(places)) == 80 and all(place.exists() for place in places)


def test_a_place_that_was_not_filled_is_free_again(host: FolderHost) -> None:
    for suffix in ("", ".png"):
        with pytest.raises(KeyboardInterrupt), filled(host.output_place("x", suffix)):
            raise KeyboardInterrupt
    assert not any(host.output_folder.iterdir())


def test_entries_name_files_as_the_page_does(host: FolderHost, tmp_path: Path) -> None:
    file = host.output_folder / "manyview" / "scene_00001_" / "points.ply"
    assert entry(host, file) == {"filename": "points.ply", "subfolder": "manyview/scene_00001_", "type": "output"}
    made = temporary(host, ".ply")
    assert entry(host, made) == {"filename": made.name, "subfolder": "", "type": "temp"}
    assert made != temporary(host, ".ply") and made.suffix == ".ply"
    with pytest.raises(ValueError, match="none of the host's folders"):
        entry(host, tmp_path / "elsewhere.ply")


def test_progress_reaches_the_caller(host: FolderHost) -> None:
    host.progress("a", 0, 1)
    calls = []
    host.on_progress = lambda *call: calls.append(call)
    host.progress("a", 1, 2)
    assert calls == [("a", 1, 2)]
    host.check_cancelled()
    host.free_memory()
