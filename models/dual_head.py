"""Depth Anything 3's dense head: depth at image resolution and, from a second fusion of the same maps, camera rays."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from .convolutions import add_position, convolve, convolve_resample, last_layer
from .dense_head import (
    DenseHead,
    DenseHeadConfig,
    Fusion,
    FusionStep,
    at_least_float32,
    confidence_from_raw,
    fuse_by,
    position_terms,
)
from .layers import LayerNorm

RAY_OUTPUTS = 7  # direction, origin, confidence
FINEST = "3"  # of the four levels that published files hold, the one that is used


class DualHead(DenseHead):
    """Tokens of four layers (M, h*w, 2C) each -> depth; `predict_both` adds rays at 8h x 8w."""

    def __init__(self, width: int, config: DenseHeadConfig, patch_size: int) -> None:
        super().__init__(width, 2, config, patch_size)
        self.scratch = DualFusion(config)

    def predict_both(self, maps: Sequence[Tensor], image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """From what `project` gave: raw depth (M, 2, H, W) and raw rays (M, 7, 8h, 8w), neither activated."""
        aspect = image_size[1] / image_size[0]
        reduced = self.scratch.reduce(self.resize(maps, aspect))
        rays = self.scratch.rays(self.scratch.fuse_rays(list(reduced)), aspect)
        fused = fuse_by(self.scratch.depth_steps, reduced)
        last = self.scratch.output_conv1
        position = position_terms(image_size, aspect, last.out_channels, fused)
        return self.scratch.outputs(convolve_resample(fused, last, image_size, position)), rays


class DualFusion(Fusion):
    """Fusion with a second chain of steps and its output convolutions, by their public names."""

    def __init__(self, config: DenseHeadConfig) -> None:
        super().__init__(2, config, rectified_skips=False)
        features, half = config.features, config.features // 2
        self.refinenet1_aux, self.refinenet2_aux, self.refinenet3_aux = (
            FusionStep(features, rectified_skips=False) for _ in range(3)
        )
        self.refinenet4_aux = FusionStep(features, coarsest=True, rectified_skips=False)
        widths = (features, half, features, half, features, half)
        self.output_conv1_aux = nn.ModuleDict(
            {FINEST: nn.Sequential(*(nn.Conv2d(widths[k], widths[k + 1], 3, padding=1) for k in range(5)))}
        )
        self.output_conv2_aux = nn.ModuleDict(
            {
                FINEST: nn.ModuleDict(
                    {
                        "0": nn.Conv2d(half, config.hidden, kernel_size=3, padding=1),
                        "2": LayerNorm(config.hidden),
                        "5": nn.Conv2d(config.hidden, RAY_OUTPUTS, kernel_size=1),
                    }
                )
            }
        )

    @property
    def depth_steps(self) -> tuple[FusionStep, ...]:
        return self.refinenet1, self.refinenet2, self.refinenet3, self.refinenet4

    def fuse_rays(self, reduced: list[Tensor]) -> Tensor:
        """Four maps of `features` channels -> (M, features, 8h, 8w), by the second chain."""
        steps = (self.refinenet1_aux, self.refinenet2_aux, self.refinenet3_aux, self.refinenet4_aux)
        return fuse_by(steps, reduced)

    def rays(self, x: Tensor, aspect: float) -> Tensor:
        """(M, features, 8h, 8w) -> (M, 7, 8h, 8w). The five convolutions have no activation between them."""
        for layer in self.output_conv1_aux[FINEST]:
            x = convolve(x, layer)
        x = add_position(x, position_terms(x.shape[-2:], aspect, x.shape[1], x))
        layers = self.output_conv2_aux[FINEST]
        x = layers["2"](convolve(x, layers["0"]).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # over the channels
        return last_layer(functional.relu(x), layers["5"])


def rays_from_raw(raw: Tensor) -> tuple[Tensor, Tensor]:
    """(M, 7, 8h, 8w) -> rays (M, 8h, 8w, 6), direction and origin in the world, and confidence above 1 (M, 8h, 8w)."""
    raw = at_least_float32(raw)
    return raw[:, :6].permute(0, 2, 3, 1), confidence_from_raw(raw[:, 6])
