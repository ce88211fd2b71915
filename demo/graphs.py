"""Settings as a graph of nodes, tidily laid out, and back."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..workflows.editor_writer import Box, Page
from ..workflows.graph import Graph, Link, Node, named
from ..workflows.problem import WorkflowError
from . import settings as names
from .settings import Settings, Values, defaults, file_values, inference_values

VIEW = "manyview_view"  # a property of the preview node: how the viewer shows things
# The number of each node on the page, whether it is there or not.
MODEL, IMAGES, SPARSITY, SCENE, SCALE, POINTS, PREVIEW = "1", "2", "3", "4", "5", "6", "7"
EXPORT, COLMAP, DEPTH = "8", "9", "10"
SPARSITY_B, SCENE_B, COMPARE, DIFFERENCE, POINTS_B, PREVIEW_B = "11", "12", "13", "14", "15", "16"
POINT_FILES = ("ply", "glb", "npz", "preview")
TITLES = {
    SPARSITY_B: "Sparsity Control (compared with)",
    SCENE_B: "Inference (compared with)",
    DIFFERENCE: "Difference",
}

BOXES = {  # with room for what nodes show below their widgets
    MODEL: Box(0, 0, 330, 150),
    IMAGES: Box(0, 260, 330, 360),
    SPARSITY: Box(0, 820, 330, 200),
    SCENE: Box(400, 0, 340, 420),
    SCALE: Box(400, 680, 340, 110),
    DEPTH: Box(400, 900, 340, 220),
    POINTS: Box(810, 0, 340, 280),
    EXPORT: Box(810, 420, 340, 240),
    COLMAP: Box(810, 800, 340, 200),
    PREVIEW: Box(1220, 0, 760, 720),
    SPARSITY_B: Box(0, 1300, 330, 200),
    SCENE_B: Box(400, 1300, 340, 420),
    COMPARE: Box(400, 1980, 340, 130),
    POINTS_B: Box(810, 1300, 340, 280),
    DIFFERENCE: Box(810, 1720, 340, 400),
    PREVIEW_B: Box(1220, 1300, 760, 720),
}
COMPARED = (Box(-20, 1220, 2020, 1000), "Compared with", "#8a6d3b")
NOTE = (
    Box(0, -260, 740, 200),
    "## ManyView\n\nThese are the settings of the demo. Put your photos into ComfyUI's `input` folder, press R, and "
    "choose their folder in *Load Images*, then press **Run**. The demo opens this file again, with what was changed.",
)


def build(settings: Settings) -> Graph:
    """The nodes; files are written only for the formats that the settings name."""
    inputs = {"model": Link(MODEL, 0), "images": Link(IMAGES, 0)}
    graph: Graph = {
        MODEL: Node(names.MODEL, dict(settings.model)),
        IMAGES: Node(names.IMAGES, {**settings.images, "model": Link(MODEL, 0)}),
        SPARSITY: Node(names.SPARSITY, dict(settings.sparsity)),
        SCENE: Node(names.RECONSTRUCT, {**settings.inference, **inputs, "sparsity": Link(SPARSITY, 0)}),
    }
    scene = Link(SCENE, 0)
    if settings.scale is not None:
        graph[SCALE] = Node(names.SCALE, {**settings.scale, "scene": scene})
        scene = Link(SCALE, 0)
    graph[POINTS] = Node(names.POINTS, {**settings.points, "scene": scene})
    shown = {"scene": scene, "points": Link(POINTS, 0)}
    graph[PREVIEW] = Node(names.PREVIEW, shown, properties={VIEW: dict(settings.view)} if settings.view else {})
    graph |= dict(_exports(settings, shown))
    if settings.against is not None:
        graph[SPARSITY_B] = Node(names.SPARSITY, dict(settings.against), TITLES[SPARSITY_B])
        again = {**settings.inference, **inputs, "sparsity": Link(SPARSITY_B, 0)}
        graph[SCENE_B] = Node(names.RECONSTRUCT, again, TITLES[SCENE_B])
        graph[POINTS_B] = Node(names.POINTS, {**settings.points, "scene": Link(SCENE_B, 0)})
        graph[PREVIEW_B] = Node(names.PREVIEW, {"scene": Link(SCENE_B, 0), "points": Link(POINTS_B, 0)})
        graph[COMPARE] = Node(names.COMPARE, {"scene": Link(SCENE, 0), "reference": Link(SCENE_B, 0)})
        graph[DIFFERENCE] = Node("PreviewImage", {"images": Link(COMPARE, 0)}, TITLES[DIFFERENCE])
    return graph


def _exports(settings: Settings, shown: dict[str, Link]) -> Iterator[tuple[str, Node]]:
    files, formats = settings.files, settings.formats
    if set(formats) & set(POINT_FILES):
        chosen = {name: name in formats for name in POINT_FILES}
        yield EXPORT, Node(names.EXPORT, {**shown, **chosen, "cameras": files["cameras"]})
    if "colmap" in formats:
        options = {name: files[name] for name in ("colmap_text", "colmap_points")}
        yield COLMAP, Node(names.COLMAP, {**shown, **options})
    if "depth" in formats:
        yield DEPTH, Node(names.DEPTH, {"scene": shown["scene"], "files": files["depth_format"]})


def page(graph: Graph) -> Page:
    """Where the nodes lie, and a note."""
    boxes = {number: box for number, box in BOXES.items() if number in graph}
    return Page(boxes, [NOTE], [COMPARED] if COMPARE in graph else [])


def read(graph: Graph) -> tuple[Settings, list[str]]:
    """The settings that a checked graph means, and sentences about what of it the page has no controls for.

    WorkflowError if it holds no reconstruction of the views of a Load Images node.
    """
    reader = _Reader(graph)
    settings = reader.settings()
    return settings, reader.notes()


class _Reader:
    """Follows the links of a graph, and notes which nodes it has understood."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.used: set[str] = set()
        self.lost: list[str] = []

    def settings(self) -> Settings:
        compare = self._first(names.COMPARE)
        scene = self._scene(compare)
        model, images = self._source(scene, "model", names.MODEL), self._source(scene, "images", names.IMAGES)
        scale = self._first(names.SCALE, scene=scene)
        shown = scale or scene
        points = self._first(names.POINTS, scene=shown)
        preview = self._first(names.PREVIEW, scene=shown)
        formats, files = self._exports(shown)
        self._keep(SCENE, scene, names.RECONSTRUCT, names.INFERENCE)
        return Settings(
            model=self._widgets(model, names.MODEL),
            images=self._widgets(images, names.IMAGES),
            sparsity=self._sparsity(scene),
            inference=inference_values(self.graph[scene].inputs),
            points=self._widgets(points, names.POINTS),
            scale=None if scale is None else self._widgets(scale, names.SCALE),
            against=self._against(compare),
            formats=formats,
            files=files,
            view=self._view(preview),
        )

    def notes(self) -> list[str]:
        """What is left."""
        unused = [called(number, node) for number, node in self.graph.items() if number not in self.used]
        if unused:
            listed = ", ".join(unused[:12]) + (f" and {len(unused) - 12} more" if len(unused) > 12 else "")
            self.lost.append(f"The page has no controls for: {listed}.")
        return self.lost

    def _first(self, class_type: str, **links: str) -> str | None:
        """The first node of a class whose inputs come from these nodes; it counts as understood."""
        for number, node in self.graph.items():
            fits = all(node.links.get(name, Link("", 0)).node == source for name, source in links.items())
            if node.class_type == class_type and fits:
                self.used.add(number)
                return number
        return None

    def _scene(self, compare: str | None) -> str:
        found = None
        if compare is not None:
            found = self.graph[compare].links["scene"].node
            if self.graph[found].class_type != names.RECONSTRUCT:
                found = None
        found = found or self._first(names.RECONSTRUCT)
        if found is None:
            raise WorkflowError("The workflow has no Sparse VGGT Inference node, so there is nothing to set here.")
        self.used.add(found)
        return found

    def _source(self, number: str, name: str, class_type: str) -> str:
        link = self.graph[number].links.get(name)
        source = link and self.graph[link.node].class_type
        if source != class_type:
            shown = names.known()[class_type].shown
            raise WorkflowError(
                f"{called(number, self.graph[number])} does not get its {name} from {shown}, so the page has no "
                "controls for it; run the workflow as it is."
            )
        self.used.add(link.node)
        return link.node

    def _widgets(self, number: str | None, class_type: str) -> dict[str, Any]:
        """The values of a node's widgets; the defaults if there is no such node."""
        if number is None:
            return defaults(class_type)
        inputs = self.graph[number].inputs
        for name in names.known()[class_type].present(inputs):
            if name.is_widget and isinstance(inputs.get(name.name), Link):
                self.lost.append(
                    f"{called(number, self.graph[number])}: {name.name} is connected; its default is taken."
                )
        return defaults(class_type, {name: value for name, value in inputs.items() if not isinstance(value, Link)})

    def _sparsity(self, scene: str) -> dict[str, Any]:
        link = self.graph[scene].links.get("sparsity")
        if link is None:
            return defaults(names.SPARSITY, {"method": "dense"})
        self.used.add(link.node)
        return self._widgets(link.node, names.SPARSITY)

    def _against(self, compare: str | None) -> dict[str, Any] | None:
        if compare is None:
            return None
        scene = self.graph[compare].links["reference"].node
        if self.graph[scene].class_type != names.RECONSTRUCT:
            return None
        self.used.add(scene)
        self._first("PreviewImage", images=compare)
        self._first(names.POINTS, scene=scene)
        self._first(names.PREVIEW, scene=scene)
        return self._sparsity(scene)

    def _exports(self, scene: str) -> tuple[tuple[str, ...], dict[str, Any]]:
        formats: list[str] = []
        files = file_values()
        if (number := self._first(names.EXPORT, scene=scene)) is not None:
            inputs = self.graph[number].inputs
            formats += [name for name in POINT_FILES if inputs[name]]
            files["cameras"] = inputs["cameras"]
            self._keep(EXPORT, number, names.EXPORT, (*POINT_FILES, "cameras"))
        if (number := self._first(names.COLMAP, scene=scene)) is not None:
            formats.append("colmap")
            files |= {name: self.graph[number].inputs[name] for name in ("colmap_text", "colmap_points")}
            self._keep(COLMAP, number, names.COLMAP, ("colmap_text", "colmap_points"))
        if (number := self._first(names.DEPTH, scene=scene)) is not None:
            if (chosen := self.graph[number].inputs["files"]) != "none":
                formats.append("depth")
                files["depth_format"] = chosen
            self._keep(DEPTH, number, names.DEPTH, ("files",))
        return tuple(name for name in names.EXPORT_FORMATS if name in formats), files

    def _keep(self, role: str, number: str, class_type: str, kept: tuple[str, ...]) -> None:
        """Note inputs of a node that are set and that the page has no control for."""
        inputs = self.graph[number].inputs
        start = defaults(class_type, {"files": inputs.get("files", "none")})
        odd = [name for name, value in start.items() if name not in kept and inputs.get(name, value) != value]
        if odd:
            self.lost.append(f"{called(number, self.graph[number])}: the page has no control for {', '.join(odd)}.")

    def _view(self, preview: str | None) -> Values:
        view: Mapping[str, Any] | Any = {} if preview is None else self.graph[preview].properties.get(VIEW, {})
        return view if isinstance(view, dict) else {}


def called(number: str, node: Node) -> str:
    """The node as messages call it, by the name that it shows."""
    kind = names.known().get(node.class_type)
    return named(number, node, kind.shown if kind else None)
