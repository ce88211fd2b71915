"""All that a visitor can set, in the names and values of the nodes' inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ..nodes import parameters
from ..nodes.graph.loading import SAMPLES
from ..nodes.parameters import EXPORT_FORMATS
from ..workflows.definitions import Kinds, kinds

Values = Mapping[str, Any]
MODEL, IMAGES, SPARSITY = "ManyView_LoadModel", "ManyView_LoadImages", "ManyView_Sparsity"
RECONSTRUCT, SCALE, POINTS = "ManyView_Reconstruct", "ManyView_SetScale", "ManyView_PointCloud"
PREVIEW, EXPORT, COLMAP = "ManyView_Preview", "ManyView_ExportPointCloud", "ManyView_ExportCOLMAP"
DEPTH, COMPARE = "ManyView_DepthMaps", "ManyView_Compare"
INFERENCE = tuple(each.name for each in parameters.RECONSTRUCT)  # what views of Load Images leave open
FILES = ("cameras", "colmap_text", "colmap_points", "depth_format")
START_SOURCE = next(iter(SAMPLES))
START_MODEL = "mini"
START_FORMATS = ("ply", "glb")
START_HIDDEN = 30.0  # percent of the points: the far and doubtful ones, which a first look is better without


def defaults(class_type: str, values: Values | None = None) -> dict[str, Any]:
    """The values of a node's widgets where nothing else is given; unknown ones in `values` are dropped."""
    given = values or {}
    kind = known()[class_type]
    return {each.name: given.get(each.name, each.default) for each in kind.present(given) if each.is_widget}


@cache
def known() -> Kinds:
    """The nodes as in a fresh installation."""
    return kinds()


def inference_values(values: Values | None = None) -> dict[str, Any]:
    """The inputs of Reconstruct that can be set here."""
    return {name: value for name, value in defaults(RECONSTRUCT, values).items() if name in INFERENCE}


def file_values(values: Values | None = None) -> dict[str, Any]:
    """How files are written: options of several export nodes."""
    start = {"cameras": True, "colmap_text": False, "colmap_points": 100_000, "depth_format": "png"}
    return {name: (values or {}).get(name, value) for name, value in start.items()}


@dataclass(frozen=True)
class Settings:
    """The controls of the page. Groups hold inputs of a node by name; 0 and "" mean "not set" as in the nodes.

    scale: None, or the lengths of Set Scale. against: None, or the sparsity of a second run to compare with.
    formats: which files are wanted. view: options of the 3D viewer.
    """

    model: Values = field(default_factory=lambda: defaults(MODEL))
    images: Values = field(default_factory=lambda: {**defaults(IMAGES), "source": START_SOURCE})
    sparsity: Values = field(default_factory=lambda: defaults(SPARSITY))
    inference: Values = field(default_factory=inference_values)
    points: Values = field(default_factory=lambda: defaults(POINTS, {"confidence_percentile": START_HIDDEN}))
    scale: Values | None = None
    against: Values | None = None
    formats: tuple[str, ...] = START_FORMATS
    files: Values = field(default_factory=file_values)
    view: Values = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if name not in EXPORT_FORMATS]
        if unknown:
            raise ValueError(f"Files can be {', '.join(EXPORT_FORMATS)}; got {', '.join(unknown)}.")
