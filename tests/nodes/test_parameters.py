"""The table of options agrees with the functions it belongs to, and with the command line."""

import inspect

import pytest

from manyview.models.sparse import BACKENDS
from manyview.nodes import parameters
from manyview.nodes.export import export
from manyview.nodes.load_images import load_images
from manyview.nodes.load_model import load_model
from manyview.nodes.point_cloud import point_cloud
from manyview.nodes.reconstruct import reconstruct
from manyview.nodes.set_scale import set_scale
from manyview.nodes.sparsity import sparsity
from manyview.scene import pointcloud
from manyview.scene.images import BLEND

TABLES = {
    load_images: parameters.LOAD_IMAGES,
    load_model: parameters.LOAD_MODEL,
    sparsity: parameters.SPARSITY,
    reconstruct: parameters.RECONSTRUCT,
    point_cloud: parameters.POINT_CLOUD,
    export: parameters.EXPORT,
    set_scale: parameters.SET_SCALE,
}


@pytest.mark.parametrize(("function", "table"), TABLES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_table_and_function_agree(function, table) -> None:
    accepted = inspect.signature(function).parameters
    for parameter in table:
        assert parameter.name in accepted
        assert accepted[parameter.name].default == parameter.default, parameter.name
    beside = {
        "progress",
        "check",
        "free_bytes",
        "show",
        "parallel",
        "pictures",
        "source",
        "scene",
        "images",
        "model",
        "cloud",
        "folder",
        "formats",
        "extras",
        "overwrite",
    }
    beside |= {"sparsity"} - {function.__name__}
    assert set(accepted) - {parameter.name for parameter in table} <= beside


@pytest.mark.parametrize("parameter", [entry for table in TABLES.values() for entry in table], ids=lambda p: p.name)
def test_parameter_is_complete(parameter) -> None:
    assert parameter.tooltip.endswith(".") and parameter.tooltip.isascii()
    if parameter.kind in ("int", "float"):
        assert parameter.minimum < parameter.maximum
        assert parameter.default is None or parameter.minimum <= parameter.default <= parameter.maximum
    if parameter.kind == "choice":
        assert parameter.default in parameter.choices
    if parameter.kind == "bool":
        assert isinstance(parameter.default, bool)


def test_defaults_are_those_of_the_scene() -> None:
    inner = inspect.signature(pointcloud.point_cloud).parameters
    for parameter in parameters.POINT_CLOUD:
        if parameter.name not in ("max_points", "frames"):  # the files of a first try stay small; frames is text here
            assert inner[parameter.name].default == parameter.default, parameter.name
    assert set(parameters.RESIZE_CHOICES) == set(BLEND)


def test_names_are_used_once() -> None:
    names = [parameter.name for table in TABLES.values() for parameter in table]
    assert len(names) == len(set(names))


def test_backends_are_those_of_sparse_attention() -> None:
    assert parameters.BACKEND_CHOICES == BACKENDS
