"""Two settings that compute all of attention for the same views give the same scene: the network runs once for both."""

import weakref
from typing import Any

from ..models.sparse import SparsityConfig
from ..nodes.graph.host import Host, Result
from ..nodes.graph.inference import scene_result
from ..nodes.graph.packets import scene_of, views_of
from ..nodes.reconstruct import load_of
from ..workflows.runner import Call
from .settings import RECONSTRUCT


class DenseOnce:
    """Calls nodes by `call`, but answers a second dense run of the same views by the same model with the first."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self._inputs: tuple[weakref.ref, ...] = ()
        self._options: dict[str, Any] = {}
        self._scene: weakref.ref | None = None

    def __call__(self, class_type: str, host: Host, inputs: dict[str, Any]) -> Result:
        if class_type != RECONSTRUCT or not is_dense(inputs):
            return self.call(class_type, host, inputs)
        views, loaded = inputs["images"][0], inputs["model"][0]["loaded"]
        options = {name: value for name, value in inputs.items() if name not in ("images", "model", "sparsity")}
        scene = self._scene and self._scene()
        same = [each() is now for each, now in zip(self._inputs, (views, loaded), strict=False)]
        if scene is not None and all(same) and options == self._options:
            return scene_result(host, scene_of(scene))
        result = self.call(class_type, host, inputs)
        self._inputs, self._options = (weakref.ref(views), weakref.ref(loaded)), options
        self._scene = weakref.ref(result.outputs[0])
        return result


def is_dense(inputs: dict[str, Any]) -> bool:
    """Whether these inputs of the node make the network compute all of attention; only for views of Load Images."""
    images, sparsity = inputs["images"], inputs.get("sparsity")
    if len(images) != 1 or not isinstance(images[0], dict):
        return False
    if not sparsity or sparsity[0] is None:
        return True
    config = SparsityConfig.from_dict(sparsity[0])
    loaded = inputs["model"][0]["loaded"]
    work = load_of(views_of(images[0]), config, 1, None)
    return config.method == "dense" or loaded.network.tokens(work) < config.min_tokens
