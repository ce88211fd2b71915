"""What runs in the benchmark of whole passes: our models with a choice of attention, and public code beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...models.attention import dense_attention
from ...models.checkpoints import LoadedModel
from ...models.families import family_named
from ...models.networks import Workload
from ...models.sparse import BlockSparse, SparsityConfig
from ...models.weights import open_weights
from ..analysis.random_weights import CONFIGS, random_arrays
from ..methods.public import PublicChoice, PublicMethod, density_of
from .part_clock import PartClock, TimedAttention
from .roofline import Shape, Work, work_of


class Contender(Protocol):
    """One forward pass that can be timed.

    name: of its rows. model: whose modules are the parts. is_dense: all pairs are computed, so time is known to grow
    with the square of the tokens. offload: its images lie on the CPU.
    """

    name: str
    model: nn.Module
    is_dense: bool
    offload: bool

    def about(self) -> dict[str, Any]:
        """What JSON should say of it: code, model, precision, settings."""

    def run(self, images: Tensor, clock: PartClock | None = None) -> Any:
        """The pass alone, images (N, 3, H, W) on the device; with a clock, its parts are timed."""

    def density(self, output: Any) -> float | None:
        """Share of pairs that global attention computed; None if that is not known."""

    def depth(self, output: Any) -> Tensor | None:
        """(N, H, W), to see whether two contenders do the same; None if no depth was asked for."""

    def backend(self) -> str:
        """What computed global attention in the last pass."""

    def estimate_bytes(self, frames: int, height: int, width: int) -> int | None:
        """What the nodes expect a pass to need beside the weights."""

    def work(self, frames: int, height: int, width: int, density: float) -> dict[str, Work]:
        """FLOP and bytes by part; empty where they are not known."""


class OurForward:
    """A model of ours. sparsity: None is the model's own, dense attention. frame_chunk: None is the model's default.

    head_dtype: of VGGT's dense heads, None for that of their weights. offload: images and results lie on the CPU.
    maps_on_cpu: so does what VGGT's dense heads will read.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        label: str,
        sparsity: SparsityConfig | None,
        outputs: Sequence[str],
        *,
        backend: str = "auto",
        frame_chunk: int | None = None,
        head_dtype: torch.dtype | None = None,
        offload: bool = False,
        maps_on_cpu: bool = False,
    ) -> None:
        self.loaded, self.name, self.sparsity = loaded, label, sparsity
        self.model = loaded.model
        self.is_dense = sparsity is None
        self.attention = None if sparsity is None else BlockSparse(sparsity, backend)
        self.options: dict[str, Any] = {} if frame_chunk is None else {"frame_chunk": frame_chunk}
        self.load_options = dict(self.options)
        self.offload, self.maps_on_cpu = offload, maps_on_cpu
        if offload:
            self.options["results"] = "cpu"
        if maps_on_cpu:
            self.options["maps"] = "cpu"
        wanted = {name: name in outputs for name in ("camera", "depth", "points")}
        self.options |= loaded.network.options(**wanted, head_dtype=head_dtype)
        self.outputs = tuple(outputs)

    def about(self) -> dict[str, Any]:
        head_dtype = self.options.get("head_dtype")
        return {
            "code": "ManyView",
            "sparsity": None if self.sparsity is None else self.sparsity.to_dict(),
            "heads": None if head_dtype is None else str(head_dtype).removeprefix("torch."),
            "offload": self.offload,
            "maps_on_cpu": self.maps_on_cpu,
        }

    def run(self, images: Tensor, clock: PartClock | None = None) -> Any:
        options, attention = dict(self.options), self.attention
        if clock is not None:
            attention = TimedAttention(attention or dense_attention, clock)
            options["progress"] = clock
        return self.model(images, global_attention=attention, **options)

    def density(self, output: Any) -> float | None:
        return 1.0 if output.density is None else float(output.density.mean())

    def depth(self, output: Any) -> Tensor | None:
        return self.loaded.network.depth(output)

    def backend(self) -> str:
        return "dense" if self.attention is None else self.attention.backend_report()

    def estimate_bytes(self, frames: int, height: int, width: int) -> int | None:
        head_dtype = self.options.get("head_dtype")
        load = Workload(
            frames,
            height,
            width,
            **self.load_options,
            sparse=not self.is_dense,
            packs=not self.is_dense and not self.sparsity.own,
            dense_heads=len({"depth", "points"} & set(self.outputs)),
            head_bytes=4 if head_dtype is None else head_dtype.itemsize,
            offload=self.offload,
            maps_on_cpu=self.maps_on_cpu,
        )
        return self.loaded.network.activation_bytes(load)

    def work(self, frames: int, height: int, width: int, density: float) -> dict[str, Work]:
        heads = next((module for name, module in self.model.named_children() if name.endswith("_head")), self.model)
        sizes = (next(module.parameters()).element_size() for module in (self.model, heads))
        return work_of(self.model.config, Shape(frames, height, width, *sizes), self.outputs, density)


class PublicForward:
    """Public code out of a checkout, with our weights."""

    offload = False

    def __init__(
        self,
        choice: PublicChoice,
        device: torch.device,
        precision: str,
        outputs: Sequence[str],
        fill: Callable[[nn.Module], None],
    ) -> None:
        self.method = PublicMethod(choice, device, precision, outputs=outputs, fill=fill)
        self.name, self.model = self.method.name, self.method.model
        self.is_dense = choice.kind in ("vggt", "pi3")
        if choice.kind == "fastvggt":  # merging begins at a layer that may not exist
            self.is_dense = int(choice.options.get("merging", 0)) >= len(self.model.aggregator.global_blocks)

    def about(self) -> dict[str, Any]:
        choice = self.method.choice
        return {"code": f"public {choice.kind}", "checkout": choice.folder.name, "options": choice.options}

    def run(self, images: Tensor, clock: PartClock | None = None) -> Any:
        return self.method.run(images)

    def density(self, output: Any) -> float | None:
        if self.method.watch is None:
            return 1.0 if self.is_dense else None
        return float(density_of(self.method.watch).mean())

    def depth(self, output: Any) -> Tensor | None:
        if "local_points" in output:
            return output["local_points"][0, ..., 2]
        return output["depth"][0, ..., 0] if "depth" in output else None

    def backend(self) -> str:
        return "its own"

    def estimate_bytes(self, frames: int, height: int, width: int) -> int | None:
        return None

    def work(self, frames: int, height: int, width: int, density: float) -> dict[str, Work]:
        return {}


def filler(model: str, loaded: LoadedModel, device: torch.device) -> Callable[[nn.Module], None]:
    """Puts the weights that `loaded` was made from (the name or file `model`) into a public model of the same network.

    They are drawn or read again, so that `loaded` may be let go before.
    """
    family = family_named(loaded.family)
    path = loaded.path

    def fill(public: nn.Module) -> None:
        if model in CONFIGS:
            pairs: Iterable[tuple[str, Tensor]] = random_arrays(CONFIGS[model], device)
        else:
            weights = open_weights(path)
            pairs = ((name, weights.take(name)) for name in weights.shapes)
        absent = copy_into(public, pairs)
        absent = [name for name in absent if not family.ignored.match(name)]
        if absent:
            raise ValueError(
                f"The weights of {model} lack {len(absent)} tensors of the public model, such as {absent[0]}; compare "
                "networks of the same architecture."
            )

    return fill


@torch.no_grad()
def copy_into(model: nn.Module, pairs: Iterable[tuple[str, Tensor]]) -> list[str]:
    """Overwrite parameters and buffers by name; those that were not among the pairs. Names it lacks are passed over."""
    state = model.state_dict()
    left = dict.fromkeys(state)
    for name, tensor in pairs:
        if name not in state:
            continue
        if state[name].shape != tensor.shape:
            raise ValueError(
                f"{name} is {tuple(tensor.shape)} in our weights and {tuple(state[name].shape)} in the public model; "
                "compare networks of the same architecture."
            )
        state[name].copy_(tensor)
        left.pop(name, None)
    return list(left)
