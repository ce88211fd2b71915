"""The ComfyUI nodes: schemas over the functions in nodes/graph. Only this folder imports ComfyUI."""

from comfy_api.latest import ComfyExtension, io

from .export import Cameras, DepthMaps, ExportCOLMAP, ExportPointCloud
from .host import register_model_folder
from .loading import LoadImages, LoadModel, Sparsity
from .page import register_routes
from .reconstruct import Reconstruct
from .scenes import Compare, LoadScene, SetScale
from .view import MakePointCloud, Preview, SparsityReport


class ManyViewExtension(ComfyExtension):
    """What ComfyUI gets from `comfy_entrypoint`."""

    async def on_load(self) -> None:
        register_model_folder()
        register_routes()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            LoadImages,
            LoadModel,
            Sparsity,
            Reconstruct,
            MakePointCloud,
            Preview,
            ExportPointCloud,
            ExportCOLMAP,
            DepthMaps,
            Cameras,
            SparsityReport,
            SetScale,
            Compare,
            LoadScene,
        ]
