"""The node that brings a saved scene back: the scene.npz of an export, so that nothing has to be computed again."""

import os
from pathlib import Path

from ...scene.export.npz import read_npz
from ...scene.files import natural_key
from ..report import report_text
from .host import Host, Result, inside
from .packets import scene_packet

NO_SCENE = "none"
SUFFIX = ".npz"
FOLDERS = ("output", "input")  # where scenes are looked for, as ComfyUI marks names: scene.npz [output]


def scene_names(host: Host) -> list[str]:
    """What Load Scene offers: the NPZ files below the output and input folders, each with its folder in brackets."""
    found = [f"{name} [{kind}]" for kind in FOLDERS for name in _files(_folder(host, kind))]
    return found or [NO_SCENE]


def run_load_scene(host: Host, *, scene: str) -> Result:
    """(scene,): as it was when it was exported."""
    host.progress("loading", 0, 1)
    found = read_npz(scene_path(host, scene))
    host.progress("loading", 1, 1)
    return Result((scene_packet(found),), {"text": [report_text(found)]})


def fingerprint_scene(host: Host, *, scene: str) -> str:
    """Changes when the file does."""
    if scene == NO_SCENE:
        return ""
    state = scene_path(host, scene).stat()
    return repr((scene, state.st_mtime_ns, state.st_size))


def scene_path(host: Host, name: str) -> Path:
    """The file of a name that Load Scene offered."""
    if name == NO_SCENE:
        raise ValueError(
            f"There is no {SUFFIX} file below the output or input folder; switch on npz in Export Point Cloud and run, "
            "then refresh and choose the file."
        )
    place, _, mark = name.rpartition(" [")
    kind = mark.removesuffix("]")
    if kind not in FOLDERS or not place.endswith(SUFFIX):
        raise ValueError(f"{name!r} is not the name of a saved scene, such as manyview/scene.npz [output]; choose one.")
    return inside(_folder(host, kind), place)


def _folder(host: Host, kind: str) -> Path:
    return host.output_folder if kind == "output" else host.input_folder


def _files(folder: Path) -> list[str]:
    """NPZ files at any depth, as names with forward slashes."""
    found = [Path(where, name) for where, _, names in os.walk(folder) for name in names if name.endswith(SUFFIX)]
    return sorted((path.relative_to(folder).as_posix() for path in found), key=natural_key)
