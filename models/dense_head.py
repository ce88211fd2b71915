"""Dense prediction head: tokens of four layers -> one map at image resolution (DPT, Ranftl et al. 2021)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config_fields import check_fields
from .convolutions import add_position, convolve, convolve_resample, last_layer
from .layers import LayerNorm

POSITION_STRENGTH = 0.1


@dataclass(frozen=True)
class DenseHeadConfig:
    """`channels` are the widths of the four maps, fine to coarse, before they are fused at `features` channels.

    `hidden` is the width of the last hidden layer, at image resolution.
    """

    features: int = 256
    channels: tuple[int, int, int, int] = (256, 512, 1024, 1024)
    hidden: int = 32

    def __post_init__(self) -> None:
        check_fields(self)
        if self.features % 8:
            raise ValueError(f"features must be a multiple of 8, got {self.features}.")


class DenseHead(nn.Module):
    """With `outputs` the full head; without, a feature extractor with no position maps (for the track head)."""

    def __init__(self, width: int, outputs: int | None, config: DenseHeadConfig, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.position_maps = outputs is not None
        first, second, _, fourth = config.channels
        self.norm = LayerNorm(width)  # one for all four layers
        self.projects = nn.ModuleList(nn.Conv2d(width, channels, kernel_size=1) for channels in config.channels)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(first, first, kernel_size=4, stride=4),
                nn.ConvTranspose2d(second, second, kernel_size=2, stride=2),
                nn.Identity(),
                nn.Conv2d(fourth, fourth, kernel_size=3, stride=2, padding=1),
            ]
        )
        self.scratch = Fusion(outputs, config)

    def forward(
        self, kept: Sequence[Tensor], image_size: tuple[int, int], output_size: tuple[int, int] | None = None
    ) -> Tensor:
        """Patch tokens of four layers, (M, h*w, 2C) each -> raw maps (M, outputs, H, W), not activated.

        `output_size` overrides the size of the result, for example to half the image. Without outputs the result is
        (M, features, H, W).
        """
        maps = [self.project(number, tokens, image_size) for number, tokens in enumerate(kept)]
        return self.predict(maps, image_size, output_size)

    def project(self, number: int, tokens: Tensor, image_size: tuple[int, int]) -> Tensor:
        """What of one of the four layers matters: patch tokens (M, h*w, 2C) -> map (M, channels, h, w).

        A fraction of the tokens' memory, so it is made as soon as the layer is ready.
        """
        grid = (image_size[0] // self.patch_size, image_size[1] // self.patch_size)
        return self.projects[number](self.norm(tokens).transpose(1, 2).unflatten(2, grid))

    def predict(
        self, maps: Sequence[Tensor], image_size: tuple[int, int], output_size: tuple[int, int] | None = None
    ) -> Tensor:
        """The rest of the head, from what `project` gave."""
        aspect, size, last = image_size[1] / image_size[0], output_size or image_size, self.scratch.output_conv1
        position = position_terms(size, aspect, last.out_channels, maps[0]) if self.position_maps else None
        # nested, so that every map is freed when the next one is there
        x = convolve_resample(self.scratch.fuse(self.resize(maps, aspect)), last, size, position)
        return self.scratch.outputs(x) if self.position_maps else x

    def resize(self, maps: Sequence[Tensor], aspect: float) -> list[Tensor]:
        """What `project` gave at the sizes of a pyramid: 4h x 4w, 2h x 2w, h x w and h/2 x w/2, rounded up."""
        resized = []
        for x, layer in zip(maps, self.resize_layers, strict=True):
            if self.position_maps:
                x = add_position_map(x, aspect)
            resized.append(x if isinstance(layer, nn.Identity) else convolve(x, layer))
        return resized


class Fusion(nn.Module):
    """Four maps into one, from the coarsest up; the output convolutions live here by their public names."""

    def __init__(self, outputs: int | None, config: DenseHeadConfig, *, rectified_skips: bool = True) -> None:
        super().__init__()
        features = config.features
        self.rectified_skips = rectified_skips
        self.layer1_rn, self.layer2_rn, self.layer3_rn, self.layer4_rn = (
            nn.Conv2d(channels, features, kernel_size=3, padding=1, bias=False) for channels in config.channels
        )
        self.refinenet1 = FusionStep(features, rectified_skips=rectified_skips)
        self.refinenet2 = FusionStep(features, rectified_skips=rectified_skips)
        self.refinenet3 = FusionStep(features, rectified_skips=rectified_skips)
        self.refinenet4 = FusionStep(features, coarsest=True, rectified_skips=rectified_skips)
        last = features if outputs is None else features // 2
        self.output_conv1 = nn.Conv2d(features, last, kernel_size=3, padding=1)
        if outputs is not None:
            self.output_conv2 = nn.Sequential(
                nn.Conv2d(last, config.hidden, kernel_size=3, padding=1),
                nn.ReLU(),
                nn.Conv2d(config.hidden, outputs, kernel_size=1),
            )

    def outputs(self, x: Tensor) -> Tensor:
        """Full-size features (M, last, H, W) -> raw maps; the last layer always in the precision of its weights."""
        first, _, last = self.output_conv2
        return last_layer(convolve(x, first, rectify=True), last)

    def fuse(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (M, channels, ...) at 4h x 4w, 2h x 2w, h x w and h/2 x w/2 -> (M, features, 8h, 8w)."""
        reduced = self.reduce(maps)
        del maps
        return fuse_by((self.refinenet1, self.refinenet2, self.refinenet3, self.refinenet4), reduced)

    def reduce(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The same four maps at `features` channels each."""
        layers = (self.layer1_rn, self.layer2_rn, self.layer3_rn, self.layer4_rn)
        return [convolve(x, rn, rectify=self.rectified_skips) for x, rn in zip(maps, layers, strict=True)]


def fuse_by(steps: "Sequence[FusionStep]", maps: list[Tensor]) -> Tensor:
    """Fuse four maps of equal channels, fine to coarse, from the coarsest up; `maps` is emptied on the way."""
    coarser = None
    sizes = [(2 * maps[0].shape[-2], 2 * maps[0].shape[-1])] + [x.shape[-2:] for x in maps[:-1]]
    for step, size in zip(reversed(steps), reversed(sizes), strict=True):
        coarser = step(coarser, maps.pop(), size)
    return coarser


class FusionStep(nn.Module):
    def __init__(self, features: int, *, coarsest: bool = False, rectified_skips: bool = True) -> None:
        super().__init__()
        self.rectified_skips = rectified_skips
        if not coarsest:
            self.resConfUnit1 = ResidualUnit(features, rectified_skip=rectified_skips)
        self.resConfUnit2 = ResidualUnit(features, rectified_skip=rectified_skips)
        self.out_conv = nn.Conv2d(features, features, kernel_size=1)

    def forward(self, coarser: Tensor | None, skip: Tensor, size: tuple[int, int]) -> Tensor:
        """Add this map to the result so far and resample to the size of the next finer one.

        The 1 x 1 convolution comes before the resampling: the order does not matter to the result, but there are fewer
        pixels there.
        """
        x = skip if coarser is None else self.resConfUnit1(skip, coarser, rectify=self.rectified_skips)
        return convolve_resample(self.resConfUnit2(x), self.out_conv, size)


class ResidualUnit(nn.Module):
    """Two convolutions around a skip, which carries the input after the first ReLU if `rectified_skip`, else as it is.

    VGGT's public weights were trained with an in-place ReLU, so its skips are rectified; Depth Anything 3's are not.
    """

    def __init__(self, features: int, *, rectified_skip: bool = True) -> None:
        super().__init__()
        self.rectified_skip = rectified_skip
        self.conv1 = nn.Conv2d(features, features, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(features, features, kernel_size=3, padding=1)

    def forward(self, x: Tensor, *added: Tensor, rectify: bool = False) -> Tensor:
        """The unit's result plus what is added to it. With a rectified skip x has been through the first ReLU."""
        hidden = convolve(x if self.rectified_skip else functional.relu(x), self.conv1, rectify=True)
        return convolve(hidden, self.conv2, x, *added, rectify=rectify)


def add_position_map(x: Tensor, aspect: float) -> Tensor:
    """Add the sinusoidal map to (M, C, mh, mw): the first half of the channels tells x, the second y.

    `aspect` is W / H of the image, whose corners lie at distance 1 from its centre.
    """
    return add_position(x, position_terms(x.shape[-2:], aspect, x.shape[1], x))


def position_terms(size: tuple[int, int], aspect: float, channels: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """What is added to the first half of the channels of every column, (C/2, mw), and to the second of every row."""
    diagonal = (aspect * aspect + 1) ** 0.5
    across = sinusoids(size[1], aspect / diagonal, channels // 2, like)
    return across, sinusoids(size[0], 1 / diagonal, channels // 2, like)


def sinusoids(samples: int, extent: float, channels: int, like: Tensor) -> Tensor:
    """[sines | cosines] of the centres of `samples` cells in -extent..extent, (channels, samples), times 0.1."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    edge = extent * (samples - 1) / samples
    coordinates = torch.linspace(-edge, edge, samples, device=like.device, dtype=dtype)
    frequencies = 100.0 ** -(torch.arange(channels // 2, device=like.device, dtype=dtype) / (channels // 2))
    angles = frequencies[:, None] * coordinates
    return (POSITION_STRENGTH * torch.cat([angles.sin(), angles.cos()])).to(like.dtype)


def depth_from_raw(raw: Tensor) -> tuple[Tensor, Tensor]:
    """(M, 2, H, W) -> depth = exp(v), always positive, and confidence, (M, H, W) each."""
    values, confidence = at_least_float32(raw).unbind(1)
    return values.exp(), confidence_from_raw(confidence)


def points_from_raw(raw: Tensor) -> tuple[Tensor, Tensor]:
    """(M, 4, H, W) -> points (M, H, W, 3) = sign(v) (exp(|v|) - 1), and confidence (M, H, W)."""
    raw = at_least_float32(raw)
    values = raw[:, :3].permute(0, 2, 3, 1)
    return values.sign() * values.abs().expm1(), confidence_from_raw(raw[:, 3])


def confidence_from_raw(raw: Tensor) -> Tensor:
    """1 + exp(v): above 1, the weight of a pixel in the training loss."""
    return 1 + raw.exp()


def at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
