"""ComfyUI as the host of our nodes: its folders, memory management, progress bar and cancel button."""

import logging
from pathlib import Path
from typing import Any

import comfy.model_management as management
import comfy.utils
import folder_paths
import numpy as np
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import Types, io
from PIL import Image

from ...models.checkpoints import LoadedModel
from ..graph.host import Entry, reserve, sources_in
from ..graph.table import NODES

logger = logging.getLogger(__name__)

MODEL_FOLDER = "manyview"  # below ComfyUI's models folder, and the name in extra_model_paths.yaml
PREVIEW_PX = 512


def register_model_folder() -> None:
    """Let ComfyUI know where weights of ours lie, and make the folder, so that people find it."""
    folder = Path(folder_paths.models_dir) / MODEL_FOLDER
    folder_paths.add_model_folder_path(MODEL_FOLDER, str(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # models on a disk that may only be read: they can still be used
        logger.warning("ManyView could not make its folder for model files, %s: %s", folder, error)


def run(node_id: str, node: type[io.ComfyNode], inputs: dict[str, Any]) -> io.NodeOutput:
    """Execute a node of the table here."""
    result = NODES[node_id].run(ComfyHost(node.hidden), **inputs)
    outputs = (Types.File3D(str(v), v.suffix[1:]) if isinstance(v, Path) else v for v in result.outputs)
    return io.NodeOutput(*outputs, ui={name: shown(name, values) for name, values in result.ui.items()} or None)


def shown(name: str, values: list[Any]) -> list[Any]:
    """What the page gets of a node. It lists every file entry as a result, so files for our scripts go as text."""
    if not name.startswith("manyview_"):
        return values
    return [marked(value) if isinstance(value, dict) else value for value in values]


def marked(entry: Entry) -> str:
    """A file as ComfyUI writes it in one text, such as "folder/points.ply [temp]"."""
    return f"{entry['subfolder']}/{entry['filename']} [{entry['type']}]".removeprefix("/")


def fingerprint(node_id: str, inputs: dict[str, Any]) -> str:
    """What ComfyUI compares to tell whether a node has to run again."""
    return NODES[node_id].fingerprint(ComfyHost(), **inputs)


class ComfyHost:
    """A `Host` for one execution of one node; `hidden` is what ComfyUI tells the node about it."""

    def __init__(self, hidden: Any = None) -> None:
        self.input_folder = Path(folder_paths.get_input_directory())
        self.output_folder = Path(folder_paths.get_output_directory())
        self.temp_folder = Path(folder_paths.get_temp_directory())
        self.model_folder = Path(folder_paths.models_dir) / MODEL_FOLDER
        self.device, self.storage_device = management.get_torch_device(), management.unet_offload_device()
        self.metadata = {}
        if hidden is not None and hidden.prompt is not None:
            self.metadata = {**(hidden.extra_pnginfo or {}), "prompt": hidden.prompt}
        self._bar: comfy.utils.ProgressBar | None = None

    def input_sources(self) -> list[str]:
        return sources_in(self.input_folder)

    def model_files(self) -> list[str]:
        return [name.replace("\\", "/") for name in folder_paths.get_filename_list(MODEL_FOLDER)]

    def model_path(self, name: str) -> Path:
        return Path(folder_paths.get_full_path_or_raise(MODEL_FOLDER, name))

    def output_place(self, prefix: str, suffix: str = "") -> Path:
        folder, name, counter, _, _ = folder_paths.get_save_image_path(prefix, str(self.output_folder))
        return reserve(Path(folder) / name, counter, suffix)

    def hold(self, loaded: LoadedModel) -> dict[str, Any]:
        return {"loaded": loaded, "patcher": ModelPatcher(loaded.model, self.device, self.storage_device)}

    def make_room(self, model: dict[str, Any], needed_bytes: int) -> None:
        # Our layers are plain PyTorch, so all of the weights have to be on the device.
        management.load_models_gpu([model["patcher"]], memory_required=needed_bytes, force_full_load=True)
        model["loaded"].model.to(self.device)  # moves nothing, but where --novram left layers behind

    def free_bytes(self) -> int | None:
        return int(management.get_free_memory(self.device))

    def free_memory(self) -> None:
        management.soft_empty_cache()

    def progress(self, stage: str, done: int, total: int) -> None:
        self.check_cancelled()
        if self._bar is None:
            self._bar = comfy.utils.ProgressBar(total)
        self._bar.update_absolute(done, total)

    def show(self, picture: np.ndarray) -> None:
        if self._bar is not None:
            preview = ("JPEG", Image.fromarray(picture), PREVIEW_PX)
            self._bar.update_absolute(self._bar.current, self._bar.total, preview)

    def check_cancelled(self) -> None:
        management.throw_exception_if_processing_interrupted()
