"""ManyView as a ComfyUI custom node pack, and as the package `manyview`.

    import manyview

    model = manyview.load_model("mini")
    scene = manyview.reconstruct(model, "photos/")  # a folder, files, a video, arrays
    manyview.export(scene, manyview.point_cloud(scene), "result")

Importing this file does nothing: ComfyUI calls `comfy_entrypoint` when it wants the nodes, and the names below are
imported when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .models.checkpoints import LoadedModel, save_model
    from .models.sparse import SparsityConfig, restore, sparsify
    from .nodes.export import export
    from .nodes.load_images import load_images
    from .nodes.load_model import load_model
    from .nodes.point_cloud import point_cloud
    from .nodes.reconstruct import reconstruct
    from .nodes.set_scale import set_scale
    from .nodes.sparsity import sparsity
    from .scene.export import read_npz
    from .scene.images import ImageSet
    from .scene.pointcloud import PointCloud
    from .scene.reconstruction import Reconstruction

WEB_DIRECTORY = "./web"
PLACES = {
    "load_model": "nodes.load_model",
    "load_images": "nodes.load_images",
    "sparsity": "nodes.sparsity",
    "reconstruct": "nodes.reconstruct",
    "point_cloud": "nodes.point_cloud",
    "set_scale": "nodes.set_scale",
    "export": "nodes.export",
    "read_npz": "scene.export",
    "save_model": "models.checkpoints",
    "sparsify": "models.sparse",
    "restore": "models.sparse",
    "ImageSet": "scene.images",
    "LoadedModel": "models.checkpoints",
    "PointCloud": "scene.pointcloud",
    "Reconstruction": "scene.reconstruction",
    "SparsityConfig": "models.sparse",
    "__version__": "version",
}
"""What the package offers at its top, and the module that each name comes from."""
__all__ = [name for name in PLACES if not name.startswith("_")]


async def comfy_entrypoint():
    """The extension object ComfyUI asks for; our code and torch are imported only here."""
    from .nodes.comfyui import ManyViewExtension

    return ManyViewExtension()


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f".{PLACES[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *PLACES})
