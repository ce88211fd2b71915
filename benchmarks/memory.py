"""How much memory a reconstruction takes beside the weights, and what nodes/memory.py says it would take.

    python benchmarks/memory.py                              counted on no device: bytes of all live tensors
    python benchmarks/memory.py --device cuda --out FILE     measured on a GPU: most bytes that PyTorch had in use

Counting runs the networks without memory or arithmetic, so any number of frames is quick; it leaves out what kernels
take for themselves. Random weights: memory does not depend on what they are.
"""

import argparse
import json
import platform
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).resolve().parents[1]
runpy.run_path(str(ROOT / "__main__.py"), run_name="manyview_registration")

from manyview.models import attention  # noqa: E402
from manyview.models.checkpoints import LoadedModel, LoadReport  # noqa: E402
from manyview.models.families import family_named  # noqa: E402
from manyview.models.networks import Workload  # noqa: E402
from manyview.models.sparse import PRESETS, BlockSparse  # noqa: E402

SIZES = ((392, 518), (518, 518), (280, 378))
FRAMES = (1, 2, 8, 20, 50, 100, 200)
CHUNKS = (1, 8)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors made while it is active; `peak` is the most that were alive at once.

    Views of the weights are not counted.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata in self.weights:
                    continue
                self.alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.alive = {key: entry for key, entry in self.alive.items() if not entry[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
        return result


def random_model(family_name: str, dtype: torch.dtype, device: str) -> LoadedModel:
    """A model of the public size with weights that mean nothing."""
    family = family_named(family_name)
    with torch.device(device):
        model = family.model(family.config_for({}))
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(torch.float32 if name.startswith(family.precise) else dtype)
    model.eval().requires_grad_(False)
    return LoadedModel(model, family_name, None, None, LoadReport((), (), 0, 0, 0, dtype, ()))


def counted(model: LoadedModel, load: Workload) -> int:
    """Most bytes of live tensors of one pass, on the meta device."""
    pixels = torch.empty(load.frames, 3, load.height, load.width, device="meta")
    with mocked_attention(), torch.inference_mode(), LiveBytes(model.model) as live:
        model.model(pixels, frame_chunk=load.frame_chunk, global_attention=nothing)
    return live.peak + pixels.numel() * pixels.element_size()


def measured(model: LoadedModel, load: Workload, preset: str) -> int:
    """Most bytes of one pass on a GPU, weights not counted."""
    torch.cuda.empty_cache()
    weights = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    attend = BlockSparse(PRESETS[preset])
    with torch.inference_mode():
        pixels = torch.zeros(load.frames, load.height, load.width, 3, dtype=torch.uint8, device="cuda")
        pixels = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255
        model.model(pixels, frame_chunk=load.frame_chunk, global_attention=attend)
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - weights


def nothing(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any) -> tuple[torch.Tensor, None]:
    """An attention that takes no memory but its result's."""
    return torch.empty_like(query), None


@contextmanager
def mocked_attention() -> Iterator[None]:
    """PyTorch's attention as fused kernels do it: the meta device would make the whole matrix. It has no autocast."""
    fused = mock.patch.object(attention, "scaled_dot_product_attention", lambda q, k, v: torch.empty_like(q))
    with fused, mock.patch.object(torch, "autocast", lambda *args, **options: nullcontext()):
        yield


def row(model: LoadedModel, load: Workload, preset: str | None) -> dict[str, Any]:
    """One comparison; a run that does not fit is a row as well."""
    found: dict[str, Any] = {
        "family": model.family,
        "frames": load.frames,
        "height": load.height,
        "width": load.width,
        "frame_chunk": load.frame_chunk,
        "preset": preset,
        "estimate_bytes": model.network.activation_bytes(load),
    }
    try:
        found["bytes"] = counted(model, load) if preset is None else measured(model, load, preset)
        found["ratio"] = round(found["estimate_bytes"] / found["bytes"], 3)
    except torch.OutOfMemoryError:
        found["bytes"] = None
    return found


def main() -> None:
    """Print a line a run and write them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["meta", "cuda"], default="meta")
    parser.add_argument("--precision", choices=["float32", "bfloat16", "float16"], default="bfloat16")
    parser.add_argument("--families", nargs="+", default=["vggt", "pi3"])
    parser.add_argument("--frames", nargs="+", type=int, default=FRAMES)
    parser.add_argument("--presets", nargs="+", default=["dense", "balanced"], help="on a GPU only")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    presets = [None] if options.device == "meta" else options.presets
    rows = []
    for family in options.families:
        model = random_model(family, getattr(torch, options.precision), options.device)
        for height, width in SIZES:
            for frames in options.frames:
                for chunk in CHUNKS:
                    for preset in presets:
                        sparse = preset not in (None, "dense")
                        load = Workload(frames, height, width, chunk, sparse=sparse, offload=False)
                        rows.append(row(model, load, preset))
                        print(json.dumps(rows[-1]), flush=True)
        del model
    if options.out:
        device = torch.cuda.get_device_name() if options.device == "cuda" else "none: live tensors counted"
        about = {"command": " ".join(["python", *sys.argv]), "device": device, "precision": options.precision}
        about |= {"torch": torch.__version__, "python": platform.python_version()}
        options.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
