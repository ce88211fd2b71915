"""What a visitor's buttons do: graphs that are run for them, and what comes out."""

import secrets
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..nodes.compare import Comparison, compare
from ..nodes.graph.host import Host, Result
from ..nodes.graph.output import THUMBNAIL
from ..nodes.graph.packets import points_of, scene_of, views_of
from ..scene.flight import write_flight
from ..scene.pointcloud import PointCloud
from ..scene.reconstruction import Reconstruction
from ..workflows.check import check, order
from ..workflows.definitions import Kinds, kinds
from ..workflows.editor_writer import write_editor_form
from ..workflows.graph import Graph, Node
from ..workflows.runner import Done, Runner, call_node
from . import graphs
from .course import Course
from .jobs import Job
from .settings import RECONSTRUCT, Settings
from .texts import doing, plain

if TYPE_CHECKING:
    from .sessions import Session

ZIPPED = {"colmap": "colmap", "depth": "depth", "preview": "preview"}  # formats that are folders, and their names


@dataclass(frozen=True)
class Outcome:
    """A finished run and the settings that led to it."""

    settings: Settings
    done: Mapping[str, Done]
    photos: int = 0  # which state of the visitor's photos it is of
    run: str = field(default_factory=lambda: secrets.token_hex(6))  # a name of its own

    @property
    def scene(self) -> Reconstruction:
        """The scene as it is shown: in metres if a length is known."""
        return scene_of(self.done[graphs.SCALE if graphs.SCALE in self.done else graphs.SCENE].value())

    @property
    def compared(self) -> Reconstruction | None:
        """The scene of the second sparsity."""
        return scene_of(self.done[graphs.SCENE_B].value()) if graphs.SCENE_B in self.done else None

    @cached_property
    def comparison(self) -> Comparison:
        """How the two scenes differ."""
        return compare(self.scene, self.compared)

    @property
    def has_run(self) -> bool:
        """Whether the network ran for this, rather than that its scene was kept."""
        return not self.done[graphs.SCENE].kept

    @property
    def notes(self) -> list[str]:
        """Sentences about photos, masks and numbers that could not be used."""
        return [plain(note) for note in self.scene.notes]

    @property
    def given(self) -> int:
        """How many photos or frames were to be used, those that could not be included."""
        views = views_of(self.done[graphs.IMAGES].value())
        files = {path.name for path in views.paths if path is not None}
        missing = [name for name, _ in views.skipped if name not in views.names and name not in files]
        return len(views) + len(missing)

    @property
    def compared_shown(self) -> tuple[dict[str, str], dict[str, str]]:
        """The viewer's files of the second sparsity."""
        return tuple(self.done[graphs.PREVIEW_B].ui["manyview_preview"])

    @property
    def cloud(self) -> PointCloud:
        """The points that are kept."""
        return points_of(self.done[graphs.POINTS].value())

    @property
    def shown(self) -> tuple[dict[str, str], dict[str, str]]:
        """The files of the 3D viewer: points and cameras."""
        return tuple(self.done[graphs.PREVIEW].ui["manyview_preview"])


def reconstruct(session: "Session", settings: Settings, job: Job) -> Outcome:
    """Run the network, with a second sparsity if the settings have one; files are written later.

    A scale is that of one scene: another one begins without.
    """
    scale = settings.scale if _is_same_scene(session, settings) else None
    session.outcome = _run(session, replace(settings, formats=(), scale=scale), job, session.runner)
    return session.outcome


def filter_points(session: "Session", settings: Settings, job: Job) -> Outcome:
    """Choose points again and set the scale; the network does not run."""
    before = _last(session)
    again = replace(before.settings, points=settings.points, scale=settings.scale, view=settings.view)
    session.outcome = _run(session, again, job, replace(session.runner, call=without_network))
    return session.outcome


def set_scale(session: "Session", units: float, meters: float, job: Job) -> Outcome:
    """What measures `units` in the scene as it is shown is so many metres long."""
    before = _last(session).settings
    shown = 1.0 if before.scale is None else before.scale["meters"] / before.scale["measured"]
    return filter_points(session, replace(before, scale={"measured": units / shown, "meters": meters}), job)


class Written(NamedTuple):
    """Files, and sentences about those that could not be written."""

    files: list[Path]
    notes: list[str]


def write_files(session: "Session", settings: Settings, job: Job) -> Written:
    """Write files of the last reconstruction in the formats of the settings; folders become zip files."""
    before = _last(session)
    again = replace(before.settings, points=settings.points, formats=settings.formats, files=settings.files)
    if not settings.formats:
        raise ValueError("Choose at least one kind of file.")
    done = _run(session, again, job, replace(session.runner, call=without_network)).done
    written = [done[number] for number in (graphs.EXPORT, graphs.COLMAP, graphs.DEPTH) if number in done]
    folders = [_export_folder(Path(each.value(-1))) for each in written]
    _forget_others(session, folders)
    files: list[Path] = []
    for folder in folders:
        job.progress("Zip files", len(files), len(folders) + 1)
        files += _as_files(folder, job)
    notes = [plain(line) for each in written for text in each.ui.get("text", ()) for line in str(text).split("\n")[1:]]
    return Written(sorted(files, key=lambda path: path.name), list(dict.fromkeys(notes)))


def fly(session: "Session", job: Job) -> Path:
    """Write a film of a flight past the cameras of the last reconstruction."""
    outcome = _last(session)
    path = session.host.output_folder / f"flight_{outcome.run}.mp4"
    with session.lock:
        for old in session.host.output_folder.glob("flight_*.mp4"):
            old.unlink()
    return write_flight(outcome.cloud, outcome.scene, path, progress=job.progress)


def run_workflow(session: "Session", graph: Graph, document: Any, job: Job) -> dict[str, Done]:
    """Run any graph as it is, on this visitor's folders."""
    with session.lock:
        session.photos.write()
        return _run_graph(session, graph, document, job, session.runner, kinds(session.host))


def document_of(session: "Session", settings: Settings) -> dict[str, Any]:
    """The settings as a workflow for ComfyUI's editor."""
    return _page_of(settings, kinds(session.host))[1]


def without_network(class_type: str, host: Host, inputs: dict[str, Any]) -> Result:
    """Run a node, but not the network: whoever only moves a slider must not wait for that."""
    if class_type == RECONSTRUCT:
        raise ValueError("The scene is no longer in memory; press Reconstruct again.")
    return call_node(class_type, host, inputs)


def _last(session: "Session") -> Outcome:
    if session.outcome is None:
        raise ValueError("There is no scene yet; press Reconstruct first.")
    if session.outcome.photos != session.photos.state:
        raise ValueError("The photos are not those of this scene any more; press Reconstruct first.")
    return session.outcome


def _is_same_scene(session: "Session", settings: Settings) -> bool:
    """Whether the network would give the last scene again; also before there is one, when a workflow has the scale."""
    before = session.outcome
    if before is None:
        return True
    groups = ("model", "images", "sparsity", "inference")
    same = all(getattr(before.settings, group) == getattr(settings, group) for group in groups)
    return same and before.photos == session.photos.state


def _run(session: "Session", settings: Settings, job: Job, runner: Runner) -> Outcome:
    with session.lock:
        session.photos.write()
        found = kinds(session.host)
        graph, document = _page_of(settings, found)
        state = session.photos.state
        return Outcome(settings, _run_graph(session, graph, document, job, runner, found), state)


def _page_of(settings: Settings, found: Kinds) -> tuple[Graph, dict[str, Any]]:
    """The settings as a graph that was checked, and as the editor's form of it."""
    graph = check(graphs.build(settings), found)
    return graph, write_editor_form(graph, found, graphs.page(graph))


def _run_graph(
    session: "Session", graph: Graph, document: Any, job: Job, runner: Runner, found: Kinds
) -> dict[str, Done]:
    outputs = [number for number, node in graph.items() if found[node.class_type].is_output_node]
    job.course = Course(order(graph, outputs), {number: node.class_type for number, node in graph.items()})

    def started(number: str, node: Node) -> None:
        job.course.start(number)
        job.progress(doing(node.class_type) or node.title or found[node.class_type].shown, 0, 1)

    session.host.job = job
    try:
        return runner.run(graph, workflow=document, on_start=started, found=found)
    finally:
        session.host.job = None


def _export_folder(place: Path) -> Path:
    """The numbered folder of an export; what a node gives may be a folder in it."""
    return next((path for path in (place, *place.parents) if path.name.endswith("_")), place)


def _forget_others(session: "Session", folders: list[Path]) -> None:
    """Delete files of earlier exports."""
    for folder in {path.parent for path in folders}:
        for path in folder.iterdir():
            if path not in folders and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)


def _as_files(folder: Path, job: Job) -> list[Path]:
    """The files of an export; what is a folder in it, or holds only many files alike, as one zip file."""
    if folder.name.startswith("depth_"):
        return [_zipped(folder, folder / "depth.zip", job)]
    folders = [path for path in folder.iterdir() if path.is_dir()]
    files = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".zip" and path.name != THUMBNAIL]
    return files + [_zipped(path, folder / f"{path.name}.zip", job) for path in folders]


def _zipped(folder: Path, target: Path, job: Job) -> Path:
    """A zip file of a folder; photos in it are not packed any tighter."""
    if target.exists():
        return target
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != target)
    partial = target.with_suffix(".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for place, path in enumerate(files):
            job.progress("Zip files", place, len(files))
            archive.write(path, path.relative_to(folder).as_posix())
    partial.rename(target)
    return target
