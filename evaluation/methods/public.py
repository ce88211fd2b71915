"""Public VGGT, Pi3, FastVGGT and sparse-vggt out of checkouts of their repositories, as methods beside ours.

Nothing of them is part of ManyView. Licences: VGGT, Pi3 and FastVGGT non-commercial or unstated; sparse-vggt none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...models.networks import pi3, vggt
from ...models.pi3 import Pi3Output
from ...models.vggt import VGGTOutput
from ...models.weights import open_weights
from ..scene import Prediction
from .checkout import checkout, import_class, installed
from .manyview import as_scored
from .method import measured

KINDS = ("vggt", "pi3", "fastvggt", "sparse-vggt", "sparse-pi3")
PACKAGES = ("vggt", "pi3", "merging", "sparse_vggt")
HEADS = {"camera": "camera_head", "depth": "depth_head", "points": "point_head", "tracks": "track_head"}


@dataclass(frozen=True)
class PublicChoice:
    """kind: one of KINDS. weights: None draws them at random, for time and memory only.

    options: what the code takes: FastVGGT merging, merge_ratio; sparse-vggt sparse_ratio, cdf_threshold; and base, the
    checkout of VGGT or Pi3 that sparse-vggt builds on (its external/ folder by default).
    """

    kind: str
    folder: Path
    weights: Path | None = None
    options: dict[str, str] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """The family of networks in models/families.py that this code runs."""
        return "pi3" if self.kind.endswith("pi3") else "vggt"


def parse_public(text: str) -> PublicChoice:
    """ "sparse-vggt=FOLDER,WEIGHTS,sparse_ratio=0.5,cdf_threshold=0.9" -> the choice; WEIGHTS may be left out."""
    kind, _, rest = text.partition("=")
    parts = rest.split(",")
    if kind not in KINDS or not parts[0]:
        raise ValueError(
            f"A public method is KIND=FOLDER[,WEIGHTS][,option=value], KIND of {', '.join(KINDS)}; got {text!r}."
        )
    plain = [part for part in parts if "=" not in part]
    if len(plain) > 2:
        raise ValueError(f"A public method takes one folder and one file of weights, got {text!r}.")
    options = dict(part.split("=", 1) for part in parts if "=" in part)
    return PublicChoice(kind, Path(plain[0]), Path(plain[1]) if len(plain) > 1 else None, options)


def name_of(choice: PublicChoice) -> str:
    """Kind and options."""
    told = " ".join(f"{name} {value}" for name, value in choice.options.items() if name != "base")
    return " ".join(filter(None, ("public", choice.kind, told)))


class PublicMethod:
    """A public model under bfloat16 autocast on a GPU (precision "bfloat16"), or in float32.

    outputs: of VGGT's "camera", "depth", "points", "tracks"; other heads are left out. None: as the public code has it.
    fill: gets the bare model to put weights into, in place of random ones; `choice.weights` goes before it.
    """

    def __init__(
        self,
        choice: PublicChoice,
        device: torch.device,
        precision: str = "float32",
        *,
        outputs: Sequence[str] | None = None,
        fill: Callable[[nn.Module], None] | None = None,
    ) -> None:
        self.choice, self.device, self.precision = choice, device, precision
        self.outputs, self.fill = outputs, fill
        self.name = name_of(choice)
        self.baseline = self.name
        self.watch: dict[int, Any] | None = None  # sparse-vggt's record of its sparsity, by layer
        if choice.kind == "fastvggt" and device.type != "cuda":
            raise ValueError("FastVGGT's code runs on CUDA only; choose --device cuda or leave it out.")
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            self.model = self._build().to(device).eval()

    def settings(self) -> dict[str, Any]:
        """Kind, folder's name, weights and options."""
        weights = self.choice.weights.name if self.choice.weights else "random"
        return {
            "public": self.choice.kind,
            "checkout": self.choice.folder.name,
            "weights": weights,
            "precision": self.precision,
            "options": self.choice.options,
        }

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Prediction:
        """The public forward pass is timed; decoding is ours."""
        images = images.to(self.device)
        with measured(self.device) as clock:
            found = self.run(images)
        prediction = self._decode(found, tuple(images.shape[-2:]))
        prediction.seconds, prediction.peak_memory_bytes = clock.seconds, clock.peak_memory_bytes
        if self.watch is not None:
            prediction.density = density_of(self.watch)
        return prediction

    def run(self, images: Tensor) -> dict[str, Tensor]:
        """The public forward pass alone, on images (N, 3, H, W) that are on the device."""
        if hasattr(self.model, "update_patch_dimensions"):  # FastVGGT has to be told
            self.model.update_patch_dimensions(images.shape[-1] // 14, images.shape[-2] // 14)
        half = self.precision == "bfloat16"
        autocast = torch.autocast(self.device.type, torch.bfloat16) if half else nullcontext()
        with autocast, installed(self.modules, PACKAGES):
            return self.model(images[None])

    def _build(self) -> nn.Module:
        choice = self.choice
        folders = [choice.folder]
        family = choice.family
        if choice.kind.startswith("sparse"):
            base = choice.options.get("base", str(choice.folder / "external" / ("Pi3" if family == "pi3" else "vggt")))
            folders = [choice.folder / "src", Path(base)]
        with checkout(folders, PACKAGES) as self.modules:
            with torch.device(self.device):  # random weights are drawn there, which is quick
                model = self._bare_model(family, folders[-1])
            self._leave_out(model)
            if choice.weights is not None:
                load_into(model, choice.weights)
            elif self.fill is not None:
                self.fill(model)
            return self._sparse(model, family) if choice.kind.startswith("sparse") else model

    def _bare_model(self, family: str, where: Path) -> nn.Module:
        if family == "pi3":
            return import_class("pi3.models.pi3", "Pi3", where)()
        kind = import_class("vggt.models.vggt", "VGGT", where)
        if self.choice.kind != "fastvggt":
            return kind()
        given, taken = self.choice.options, inspect.signature(kind).parameters
        options: dict[str, Any] = {"merging": int(given.get("merging", 0))}
        if "merge_ratio" in given:
            if "merge_ratio" not in taken:
                raise ValueError(f"FastVGGT in {where} takes no merge_ratio; leave it out or use a newer checkout.")
            options["merge_ratio"] = float(given["merge_ratio"])
        if "points" in (self.outputs or ()) and "enable_point" in taken:  # off unless asked for
            options["enable_point"] = True
        model = kind(**options)
        return model.to(torch.bfloat16) if self.precision == "bfloat16" else model

    def _leave_out(self, model: nn.Module) -> None:
        """Heads that were not asked for; the public forward passes them over."""
        if self.outputs is None or self.choice.family == "pi3":
            return
        for output, name in HEADS.items():
            if output not in self.outputs and hasattr(model, name):
                setattr(model, name, None)
            elif output in self.outputs and getattr(model, name, None) is None:
                raise ValueError(
                    f"The public {self.choice.kind} of this checkout has no {name}; ask for other outputs."
                )

    def _sparse(self, model: nn.Module, family: str) -> nn.Module:
        """Put the paper's attention into the model; it keeps a record of what it left out."""
        numbers = {n: float(v) for n, v in self.choice.options.items() if n in ("sparse_ratio", "cdf_threshold")}
        name = "sparse_aggregator_from_vggt" if family == "vggt" else "sparse_model_from_pi3"
        convert = import_class(f"sparse_vggt.models.{family}", name, self.choice.folder)
        target = model.aggregator if family == "vggt" else model
        changed, self.watch = convert(target, **numbers, aux_output=True, verbose=False)
        if family == "pi3":
            return changed
        model.aggregator = changed
        return model

    def _decode(self, found: dict[str, Tensor], size: tuple[int, int]) -> Prediction:
        if "camera_poses" in found:
            output = Pi3Output(found["points"], found["local_points"], found["conf"][..., 0], found["camera_poses"])
            return as_scored(pi3.prediction_of(output))
        output = VGGTOutput(
            pose_passes=found["pose_enc"][None].float(),
            depth=found["depth"][..., 0],
            depth_confidence=found["depth_conf"],
        )
        return as_scored(vggt.prediction_of(output, size))


def load_into(model: nn.Module, file: Path) -> None:
    """Fill a public model; tensors that only other heads use may be left over, none may be missing."""
    weights = open_weights(file)
    wanted = model.state_dict()
    absent = [name for name in wanted if name not in weights.shapes]
    if absent:
        raise ValueError(f"{file} lacks {len(absent)} tensors of this model, such as {absent[0]}.")
    model.load_state_dict({name: weights.take(name) for name in wanted}, strict=True)


def density_of(watch: dict[int, Any]) -> Any:
    """(layers, 1) float64 of a record {layer: {"sparsity": share left out}}."""
    import numpy as np

    shares = [1.0 - float(torch.as_tensor(watch[layer]["sparsity"]).float().mean()) for layer in sorted(watch)]
    return np.array(shares, np.float64)[:, None]
