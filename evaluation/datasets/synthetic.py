"""Rendered scenes with fixed seeds that training never draws: no download, exact truth, the default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor

from ...models.geometry import unproject_depth
from ...training.batches import draw_seeded_scenes, make_batch
from ...training.renderer import FrameTables, render
from ..scene import Card, EvaluationScene, ScoringRules, Truth
from ..synthetic import FIRST_SEED

PIXELS_AT_ONCE = 2**22
MULTIPLE = 14  # of the sides of images: the patches of the models
CARD = Card(
    name="synthetic",
    title="ManyView synthetic scenes",
    source="nothing to get: scenes are drawn from seeds and rendered",
    licence="Apache-2.0, like everything here",
    frames=f"seeds {FIRST_SEED:,} and on, one scene a seed; training draws its seeds below",
)


class Synthetic:
    """`count` scenes of `frames` frames of `size` (H, W); a unit is the mean distance of what the first camera sees."""

    card = CARD
    rules = ScoringRules(("pairs", "trajectory", "depth", "points"), point_limit=10_000, f_threshold=0.05)

    def __init__(
        self,
        frames: int = 8,
        count: int = 64,
        size: tuple[int, int] = (224, 224),
        device: torch.device | str = "cpu",
        first_seed: int = FIRST_SEED,
    ) -> None:
        if min(frames, count, *size) < 1:
            raise ValueError(f"Frames, scenes and size must be at least 1, got {frames}, {count} and {size}.")
        if any(side % MULTIPLE for side in size):
            raise ValueError(f"The side of images must be a multiple of {MULTIPLE}, such as 224; got {size[0]}.")
        self.name = f"synthetic-{frames}"
        self.frames = frames
        self.count = count
        self.size = size
        self.device = device
        self.first_seed = first_seed

    def scenes(self) -> Sequence[str]:
        """The seeds."""
        return [str(self.first_seed + index) for index in range(self.count)]

    def missing(self) -> list[str]:
        """Nothing ever is."""
        return []

    @torch.no_grad()
    def load(self, scene: str) -> EvaluationScene:
        """Rendered on the device; exposure, blur and noise as in training."""
        drawn = draw_seeded_scenes([int(scene)], self.frames, self.device)
        batch = make_batch(*drawn, self.size, torch.Generator().manual_seed(int(scene)), render_by_parts)
        cameras, depth = batch.world_to_camera[0].double(), batch.depth[0].double()
        truth = Truth(
            world_to_camera=cameras.cpu().numpy(),
            points=unproject_depth(depth, cameras, batch.intrinsics[0].double()).cpu().numpy(),
            depth=batch.depth[0].cpu().numpy(),
            valid=batch.valid[0].cpu().numpy().astype(bool),
        )
        names = tuple(f"{frame:03d}" for frame in range(self.frames))
        return EvaluationScene(scene, batch.images[0], names, truth)


def render_by_parts(tables: FrameTables, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """What `render` gives, a few frames at a time: 200 frames of 518 px at once would take tens of gigabytes."""
    step = max(1, PIXELS_AT_ONCE // (height * width))
    parts = []
    for start in range(0, len(tables.origin), step):
        some = {one.name: getattr(tables, one.name)[start : start + step] for one in fields(FrameTables)}
        parts.append(render(FrameTables(**some), height, width))
    return tuple(torch.cat(part) for part in zip(*parts, strict=True))
