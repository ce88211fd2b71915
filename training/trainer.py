"""Trains a small VGGT on scenes rendered while it trains, on one device or several (torchrun).

The run is planned in time or in steps: resolution, learning rate and the helpers' share follow `progress`, which goes
from 0 to 1 over `minutes` (or `steps`).
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed, nn

from ..evaluation.real import evaluate_folder
from ..evaluation.synthetic import evaluate_synthetic
from ..models.camera_head import CameraHeadConfig
from ..models.checkpoints import load_model, save_model
from ..models.dense_head import DenseHeadConfig
from ..models.dinov2 import EncoderConfig
from ..models.progress import Progress
from ..models.vggt import VGGT, VGGTConfig, config_to_dict
from .batches import Batch, draw_scenes, make_batch
from .checkpoint import remove_checkpoint, resume, write_checkpoint
from .helper_heads import HELPERS, load_helpers, save_helpers
from .losses import LossWeights, TrainingModel
from .materials import Materials
from .optimizer import make_optimizers
from .renderer import compiled_render, render

logger = logging.getLogger(__name__)
LOG, FINISHED = "log.jsonl", "finished"  # a run's log, and the key of its last line

MINI = VGGTConfig(
    encoder=EncoderConfig(width=320, depth=4, heads=5, image_size=224, layer_scale=0.2, stem_channels=(32, 48)),
    depth=7,
    heads=5,
    layer_scale=0.2,
    special_token_std=0.02,
    kept_layers=(1, 3, 5, 6),
    camera=CameraHeadConfig(trunk_depth=2, heads=10, mlp_ratio=1.0, layer_scale=0.2, passes=4),
    dense=DenseHeadConfig(features=64, channels=(64, 96, 128, 128), hidden=32),
    point_head=False,
    track=None,
)


@dataclass(frozen=True)
class Phase:
    """Until `until` of the run, batches of these image sizes (H, W) and about this many frames a device."""

    until: float
    sizes: tuple[tuple[int, int], ...]
    frames: int
    views: tuple[int, ...]  # frames a scene, drawn per step


@dataclass(frozen=True)
class TrainingPlan:
    minutes: float | None = 20.0
    steps: int | None = None  # instead of minutes
    phases: tuple[Phase, ...] = (
        Phase(0.45, ((112, 112),), 768, (2, 4, 8, 8, 12, 24)),
        Phase(0.7, ((168, 168), (126, 168), (168, 126)), 336, (2, 4, 8, 8, 12, 24)),
        Phase(1.0, ((224, 224), (168, 224), (224, 168)), 192, (2, 4, 8, 8, 12, 24, 24, 48)),
    )
    matrix_rate: float = 2.5e-3
    other_rate: float = 1e-3
    weight_decay: float = 0.02
    warmup_steps: int = 100
    decay_from: float = 0.4
    ema: float = 0.998
    seed: int = 0
    compile: bool = True
    evaluate_every: float = 0.15  # of the run
    checkpoint_every: float = 0.02  # of the run
    evaluate_scenes: int = 16
    log_every: int = 50
    world_share: float = 0.85  # of the steps, where packs of assets are given; the rest are simple scenes

    def phase(self, progress: float) -> Phase:
        return next((phase for phase in self.phases if progress < phase.until), self.phases[-1])

    def rate(self, step: int, progress: float) -> float:
        """Share of the peak learning rate: warm-up, constant, then linear to zero."""
        decay = min(1.0, (1.0 - progress) / (1.0 - self.decay_from))
        return min(1.0, (step + 1) / self.warmup_steps) * max(decay, 0.0)


@dataclass(frozen=True)
class Device:
    device: torch.device
    rank: int
    world: int

    @classmethod
    def from_environment(cls) -> Device:
        """This process's device under torchrun, or the only one."""
        world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        if not torch.cuda.is_available():
            return cls(torch.device("cpu"), rank, world)
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
        return cls(device, rank, world)


# A run that starts from trained weights: lower rates, and fewer of the small images that a beginner needs.
CONTINUED = TrainingPlan(
    phases=(
        Phase(0.3, ((112, 112), (84, 112), (112, 84), (112, 168)), 576, (2, 4, 8, 8, 12, 24)),
        Phase(0.6, ((168, 168), (126, 168), (168, 126), (112, 168), (98, 168)), 336, (2, 4, 8, 8, 12, 24)),
        Phase(
            1.0, ((224, 224), (168, 224), (168, 224), (224, 168), (154, 224), (126, 224)), 192, (2, 4, 8, 8, 12, 24, 24)
        ),
    ),
    matrix_rate=1.5e-3,
    other_rate=6e-4,
    evaluate_every=0.2,
)


@dataclass(frozen=True)
class Sources:
    """What a run reads. packs: of `assets.build_pack`; none: simple scenes only. start: weights to begin with.

    pause: minutes of this call after which the checkpoint is written and training ends, to be resumed.
    photos: a folder of scenes as the data set `folder` takes it, measured at every evaluation and never trained on.
    """

    packs: tuple[Path, ...] = ()
    start: Path | None = None
    pause: float | None = None
    photos: Path | None = None


def train(
    plan: TrainingPlan,
    out: Path,
    config: VGGTConfig = MINI,
    weights: LossWeights | None = None,
    progress: Progress | None = None,
    sources: Sources = Sources(),
) -> Path:
    """Train; writes OUT/model.safetensors (averaged weights, bfloat16), OUT/helpers.safetensors (the training-only
    heads) and OUT/log.jsonl; returns the model's path.

    A run of the same plan that was stopped goes on at its last checkpoint, OUT/checkpoint.pt, which a finished one
    does not have any more.
    """
    place = Device.from_environment()
    if place.world > 1:
        distributed.init_process_group("nccl" if place.device.type == "cuda" else "gloo")
    try:
        return Trainer(plan, out, config, weights or LossWeights(), place, progress, sources).run()
    finally:
        if place.world > 1:
            distributed.destroy_process_group()


class Trainer:
    def __init__(
        self,
        plan: TrainingPlan,
        out: Path,
        config: VGGTConfig,
        weights: LossWeights,
        place: Device,
        progress: Progress | None = None,
        sources: Sources = Sources(),
    ) -> None:
        self.plan, self.out, self.place, self.told, self.sources = plan, out, place, progress, sources
        out.mkdir(parents=True, exist_ok=True)
        torch.set_float32_matmul_precision("high")  # TensorFloat-32 for the parts outside autocast
        torch.manual_seed(plan.seed)  # the same start on every device
        self.module = self._begin(config, weights).to(place.device, memory_format=torch.channels_last)
        self.average = deepcopy(self.module.model).eval().requires_grad_(False)
        self.optimizers = make_optimizers(self.module, plan.matrix_rate, plan.other_rate, plan.weight_decay)
        self.base_rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.renderer = render
        if plan.compile:
            self._compile()
        self.parallel: nn.Module = self.module
        if place.world > 1:
            ids = [place.device.index] if place.device.type == "cuda" else None
            self.parallel = nn.parallel.DistributedDataParallel(self.module, device_ids=ids)
        self.generator = torch.Generator(place.device).manual_seed(plan.seed * 1000 + place.rank)
        self.choices = torch.Generator().manual_seed(plan.seed)  # the same on every device
        self.materials = Materials(sources.packs, place.device) if sources.packs else None
        self.started = self.called = time.monotonic()
        self.step, self.progress = 0, 0.0
        self.next_evaluation, self.next_checkpoint = plan.evaluate_every, plan.checkpoint_every

    def _begin(self, config: VGGTConfig, weights: LossWeights) -> TrainingModel:
        """New weights, or those of an earlier run, its training-only heads with them where they lie beside it."""
        if self.sources.start is None:
            return TrainingModel(VGGT(config), weights)
        model = load_model(self.sources.start).model
        if not isinstance(model, VGGT):
            raise ValueError(f"{self.sources.start} is a {type(model).__name__}; training starts from a VGGT.")
        module = TrainingModel(model.float().train().requires_grad_(True), weights)
        load_helpers(module, self.sources.start.with_name(HELPERS))
        return module

    def _compile(self) -> None:
        torch._dynamo.config.recompile_limit = 64  # encoder, frame and global blocks share one forward
        model = self.module.model
        blocks = [*model.aggregator.patch_embed.blocks, *model.aggregator.frame_blocks, *model.aggregator.global_blocks]
        for block in blocks:
            block.compile(dynamic=True)
        self.renderer = compiled_render()

    def run(self) -> Path:
        header = self._header()
        if resume(self):
            header["resumed_at_step"] = self.step
        self._log(header)
        step = self.step
        for step, progress in self._clock():
            if self.told and self.place.rank == 0:
                self.told("train", round(1000 * progress), 1000)
            losses = self._step(step, progress)
            if step % self.plan.log_every == 0:
                self._log(
                    {"step": step, "progress": round(progress, 4)} | {k: round(v.item(), 4) for k, v in losses.items()}
                )
            if progress >= self.next_evaluation and progress < 1.0:
                self.next_evaluation += self.plan.evaluate_every
                self._evaluate(step, progress)
        if self.progress < 1.0:  # paused
            return self._save()
        self._evaluate(step, 1.0)
        path = self._save()
        self._log({"step": step, FINISHED: True})
        remove_checkpoint(self)
        return path

    def _clock(self) -> Iterator[tuple[int, float]]:
        """Step numbers and progress; all devices follow the first one's clock. Ends early at a pause."""
        while self.progress < 1.0:
            yield self.step, self.progress
            self.step += 1
            if self.plan.steps is not None:
                self.progress = self.step / self.plan.steps
            elif self.step % 10 == 0:
                self.progress = self._minutes_since(self.started) / self.plan.minutes
            if self._pauses() and self.progress < 1.0:
                write_checkpoint(self)
                return
            if self.next_checkpoint <= self.progress < 1.0:
                self.next_checkpoint = self.progress + self.plan.checkpoint_every
                write_checkpoint(self)

    def _pauses(self) -> bool:
        """True if this call's time is up; asked at every tenth step."""
        pause = self.sources.pause
        return pause is not None and self.step % 10 == 0 and self._minutes_since(self.called) >= pause

    def _minutes_since(self, start: float) -> float:
        """By the first device's clock, the same number on all."""
        minutes = torch.tensor((time.monotonic() - start) / 60, device=self.place.device)
        if self.place.world > 1:
            distributed.broadcast(minutes, 0)
        return minutes.item()

    def _draw(self, progress: float) -> tuple[Batch, int]:
        phase = self.plan.phase(progress)
        pick = torch.randint(1 << 20, (4,), generator=self.choices).tolist()
        size = phase.sizes[pick[0] % len(phase.sizes)]
        views = phase.views[pick[1] % len(phase.views)]
        with torch.no_grad():
            first = phase.sizes[0]  # `frames` is meant for it; of smaller images there are more
            count = max(1, phase.frames * first[0] * first[1] // (size[0] * size[1]) // views)
            if self.materials is not None and pick[3] / (1 << 20) < self.plan.world_share:
                batch = self.materials.batch(count, views, size, self.generator)
            else:
                drawn = draw_scenes(count, views, self.generator, self.place.device)
                batch = make_batch(*drawn, size, self.generator, self.renderer)
        return batch, 1 + pick[2] % (views - 1)

    def _step(self, step: int, progress: float) -> dict[str, Tensor]:
        rate = self.plan.rate(step, progress)
        for optimizer, base in zip(self.optimizers, self.base_rates, strict=True):
            for group, peak in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = peak * rate
        batch, shift = self._draw(progress)
        with self._autocast():
            losses = self.parallel(batch, shift, 1.0 if progress < 0.5 else 0.3)
        losses["total"].backward()
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self._average(step)
        return {**losses, "gradient": norm, "rate": torch.tensor(rate)}

    def _autocast(self) -> torch.autocast | nullcontext:
        return torch.autocast("cuda", torch.bfloat16) if self.place.device.type == "cuda" else nullcontext()

    @torch.no_grad()
    def _average(self, step: int) -> None:
        decay = min(self.plan.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.module.model.parameters()), 1.0 - decay)

    def _evaluate(self, step: int, progress: float) -> None:
        if self.place.rank == 0:
            size = self.plan.phase(progress).sizes[0]
            if self.sources.photos is not None:
                with self._autocast():
                    found = evaluate_folder(self.average, self.sources.photos)
                self._log({"step": step, "progress": round(progress, 4), "photos": found})
            for frames in (8, 24):
                options = {
                    "scenes": self.plan.evaluate_scenes,
                    "frames": frames,
                    "size": size,
                    "renderer": self.renderer,
                }
                result = evaluate_synthetic(self.average, bf16=self.place.device.type == "cuda", **options)
                result = {name: round(value, 2) for name, value in result.items()}
                self._log(
                    {"step": step, "progress": round(progress, 4), "evaluation": frames, "size": list(size)} | result
                )
            self._save()

    def _header(self) -> dict:
        cuda = self.place.device.type == "cuda"
        return {
            "device": torch.cuda.get_device_name() if cuda else "cpu",
            "devices": self.place.world,
            "torch": torch.__version__,
            "plan": asdict(self.plan),
            "config": config_to_dict(self.module.model.config),
        }

    def _log(self, entry: dict) -> None:
        if self.place.rank:
            return
        entry["seconds"] = round(time.monotonic() - self.started, 1)
        if not all(math.isfinite(value) for value in entry.values() if isinstance(value, float)):
            logger.warning("a value is not finite: %s", entry)
        with (self.out / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        logger.info("%s", json.dumps(entry))

    def _save(self) -> Path:
        path = self.out / "model.safetensors"
        if self.place.rank == 0:
            metadata = {"manyview.training": json.dumps(asdict(self.plan))}
            save_model(deepcopy(self.average).bfloat16(), path, metadata)
            save_helpers(self.module, path.with_name(HELPERS))
        return path
