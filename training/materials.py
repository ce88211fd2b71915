"""The packs of assets on one device, and batches out of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from .batches import Batch

SAMPLES = 2  # rays a pixel: one through its middle, which also gives the depth, and one anywhere in it


class Materials:
    """A library and what it takes to draw from it; importing Warp is left to this point."""

    def __init__(self, packs: Sequence[Path], device: torch.device, share: float = 1.0) -> None:
        try:
            import warp
        except ImportError as error:
            raise ImportError("Training on meshes needs NVIDIA Warp: pip install warp-lang") from error
        from .library import load_library

        warp.config.quiet = True
        warp.init()
        self.library = load_library(list(packs), device, share=share)

    def batch(self, count: int, frames: int, size: tuple[int, int], generator: torch.Generator) -> Batch:
        """`count` new worlds of `frames` photographed frames of `size` (H, W)."""
        from .world_batches import draw_worlds, make_world_batch

        worlds, cameras = draw_worlds(count, frames, self.library, generator)
        return make_world_batch(worlds, cameras, self.library, size, generator, SAMPLES)
