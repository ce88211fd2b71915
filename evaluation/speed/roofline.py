"""What the parts of a forward pass must compute and move at least, and how long a device needs for that.

FLOP: a multiplication and an addition are two. T tokens of width C in sequences of P tokens, M times wider in the MLP:

  block       2 T C^2 (3 + 1 + 2 M) for its four matrices, and 4 T P C for attention (queries x keys, weights x values)
  global      the same with P = T; of its attention only the density, the share of pairs that are computed
  convolution 2 K Ci Co for each output pixel, K taps, Ci channels in and Co out; transposed: for each input pixel

Bytes: every matrix product and convolution reads its input and its weights and writes its result once, norms read the
residual stream once (float32), both branches of a block read and write it, attention reads queries, keys and values and
writes its result once, and everything elementwise happens on the way. Kernels that fuse more move less; most move more.

Counted is the network as it was published, whatever order of work gives the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...models.da3 import DepthAnything3Config
from ...models.dense_head import DenseHeadConfig
from ...models.dinov2 import EncoderConfig
from ...models.families import Config
from ...models.pi3 import Pi3Config
from ...models.vggt import VGGTConfig

STREAM = 4  # bytes of a number of the residual stream, and of images
POSE = 9  # numbers of a camera


@dataclass(frozen=True)
class Work:
    """FLOP and bytes of a part."""

    flop: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.flop + other.flop, self.bytes + other.bytes)

    def __mul__(self, times: float) -> Work:
        return Work(self.flop * times, self.bytes * times)


@dataclass(frozen=True)
class Peak:
    """What a device can do at best: matrix products of 16-bit numbers without sparsity, and memory traffic."""

    flop_per_s: float
    bytes_per_s: float

    def seconds(self, work: Work) -> float:
        """The least time: computing and moving at once, each at its best."""
        return max(work.flop / self.flop_per_s, work.bytes / self.bytes_per_s)


PEAKS = {  # by the name that CUDA gives; from the makers' data sheets
    "NVIDIA H200": Peak(990e12, 4.8e12),
    "NVIDIA H100 80GB HBM3": Peak(990e12, 3.35e12),
    "NVIDIA A100-SXM4-80GB": Peak(312e12, 2.0e12),
    "NVIDIA A100 80GB PCIe": Peak(312e12, 1.9e12),
    "NVIDIA A100-SXM4-40GB": Peak(312e12, 1.55e12),
    "NVIDIA GeForce RTX 4090": Peak(165e12, 1.0e12),
}


@dataclass(frozen=True)
class Shape:
    """One pass: N frames of H x W pixels; bytes of a number in the trunk's and in the heads' weights."""

    frames: int
    height: int
    width: int
    trunk: int = 2
    heads: int = 4


def work_of(config: Config, shape: Shape, outputs: Sequence[str], density: float = 1.0) -> dict[str, Work]:
    """The parts of a pass; "attention" is that of the global blocks, "global" the rest of them."""
    if isinstance(config, DepthAnything3Config):
        return da3_work(config, shape, outputs, density)
    encoder, patches = config.encoder, shape.height * shape.width // config.encoder.patch_size**2
    width, ratio = encoder.width, config.mlp_ratio
    own = isinstance(config, Pi3Config)
    pairs = config.depth // 2 if own else config.depth
    tokens = patches + config.registers + (0 if own else 1)
    everything = shape.frames * tokens
    frame = linear(everything, width, ratio, shape.trunk) + attention(shape.frames, tokens, width, shape.trunk)
    whole = attention(1, everything, width, shape.trunk)
    found = {
        "encoder": encode(encoder, shape, patches),
        "frame": frame * pairs,
        "attention": Work(whole.flop * density, whole.bytes) * pairs,
        "global": linear(everything, width, ratio, shape.trunk) * pairs,
    }
    return found | (pi3_heads(config, shape, patches) if own else vggt_heads(config, shape, outputs))


def da3_work(config: DepthAnything3Config, shape: Shape, outputs: Sequence[str], density: float) -> dict[str, Work]:
    """The same for Depth Anything 3, whose encoder is the first of the frame blocks but for the patch projection."""
    width, patch, size = config.width, config.patch_size, shape.trunk
    patches = shape.height * shape.width // patch**2
    everything, blocks = shape.frames * (patches + 1), len(config.global_blocks)
    inside = linear(everything, width, 4.0, size) + attention(shape.frames, patches + 1, width, size)
    whole = attention(1, everything, width, size)
    found = {
        "encoder": convolution(patch**2, 3, width, shape.height * shape.width, patches, size) * shape.frames,
        "frame": inside * (config.depth - blocks),
        "attention": Work(whole.flop * density, whole.bytes) * blocks,
        "global": linear(everything, width, 4.0, size) * blocks,
    }
    if "camera" in outputs:
        found["camera"] = matrix(shape.frames, 2 * width, 2 * width, shape.heads) * 2
    if "depth" in outputs:
        found["depth"] = dense_head(config.dense, 2 * width, 2, shape, patch)
    return found


def linear(tokens: int, width: int, ratio: float, size: int) -> Work:
    """A block without its attention."""
    weights = width**2 * (4 + 2 * ratio)
    moved = tokens * width * (6 * STREAM + size * (8 + 2 * ratio))
    return Work(2 * tokens * weights, moved + size * weights)


def attention(sequences: int, tokens: int, width: int, size: int) -> Work:
    """Attention of all heads together, whose widths make up `width`."""
    return Work(4 * sequences * tokens**2 * width, 4 * sequences * tokens * width * size)


def matrix(rows: int, inputs: int, outputs: int, size: int) -> Work:
    """A linear layer."""
    return Work(2 * rows * inputs * outputs, size * (rows * (inputs + outputs) + inputs * outputs))


def convolution(taps: int, inputs: int, outputs: int, read: int, written: int, size: int) -> Work:
    """Of `read` pixels into `written` pixels; each of those takes `taps` pixels."""
    moved = inputs * read + outputs * written + taps * inputs * outputs
    return Work(2 * taps * inputs * outputs * written, size * moved)


def encode(config: EncoderConfig, shape: Shape, patches: int) -> Work:
    """Patch projection and blocks; a class token and registers are added."""
    pixels, size, patch = shape.height * shape.width, shape.trunk, config.patch_size
    if config.stem_channels:
        first, second = config.stem_channels
        found = convolution(9, 3, first, pixels, pixels // 4, size)
        found += convolution(9, first, second, pixels // 4, pixels // 4, size)
        found += convolution((patch // 2) ** 2, second, config.width, pixels // 4, patches, size)
    else:
        found = convolution(patch**2, 3, config.width, pixels, patches, size)
    tokens = patches + 1 + config.registers
    blocks = linear(shape.frames * tokens, config.width, config.mlp_ratio, size)
    blocks += attention(shape.frames, tokens, config.width, size)
    return found * shape.frames + blocks * config.depth


def vggt_heads(config: VGGTConfig, shape: Shape, outputs: Sequence[str]) -> dict[str, Work]:
    """Those that were asked for."""
    found = {}
    if "camera" in outputs:
        found["camera"] = camera_head(config, shape)
    for name, channels in (("depth", 2), ("points", 4)):
        if name in outputs:
            found[name] = dense_head(config.dense, 2 * config.encoder.width, channels, shape, config.encoder.patch_size)
    return found


def camera_head(config: VGGTConfig, shape: Shape) -> Work:
    """All passes; the cameras of all frames are one sequence."""
    width, head, size = 2 * config.encoder.width, config.camera, shape.heads
    block = linear(shape.frames, width, head.mlp_ratio, size) + attention(1, shape.frames, width, size)
    found = block * head.trunk_depth
    for inputs, outputs in ((POSE, width), (width, 3 * width), (width, width // 2), (width // 2, POSE)):
        found += matrix(shape.frames, inputs, outputs, size)
    return found * head.passes


def dense_head(config: DenseHeadConfig, width: int, outputs: int, shape: Shape, patch: int) -> Work:
    """Projections of four layers, their resizing, the fusion from coarse to fine, and the last convolutions."""
    rows, columns = shape.height // patch, shape.width // patch
    coarse, grid = -(-rows // 2) * -(-columns // 2), rows * columns
    sizes = (16 * grid, 4 * grid, grid, coarse)  # pixels of the four maps, fine to coarse
    channels, features, size = config.channels, config.features, shape.heads
    found = Work()
    for count in channels:
        found += convolution(1, width, count, grid, grid, size)
    for number, taps in ((0, 16), (1, 4)):  # transposed: every output pixel has one tap
        found += convolution(1, channels[number], channels[number], grid, taps * grid, size)
    found += convolution(9, channels[3], channels[3], grid, coarse, size)
    for count, pixels in zip(channels, sizes, strict=True):
        found += convolution(9, count, features, pixels, pixels, size)
    for pixels, finer, units in zip(sizes, (64 * grid, *sizes[:3]), (2, 2, 2, 1), strict=True):
        found += convolution(9, features, features, pixels, pixels, size) * (2 * units)
        found += convolution(1, features, features, pixels, pixels, size) + resampling(features, pixels, finer, size)
    half, pixels = features // 2, shape.height * shape.width
    found += convolution(9, features, half, 64 * grid, 64 * grid, size) + resampling(half, 64 * grid, pixels, size)
    found += convolution(9, half, config.hidden, pixels, pixels, size)
    return (found + convolution(1, config.hidden, outputs, pixels, pixels, size)) * shape.frames


def resampling(channels: int, read: int, written: int, size: int) -> Work:
    """Interpolation: nothing to speak of is computed."""
    return Work(0.0, size * channels * (read + written))


def pi3_heads(config: Pi3Config, shape: Shape, patches: int) -> dict[str, Work]:
    """Three decoders inside the frames, each with its head; their weights are the trunk's but for the last layers."""
    patch, width, camera = config.encoder.patch_size, config.head_width, config.camera_width
    rows = shape.frames * patches
    found = {}
    for name, channels in (("points", 3), ("confidence", 1)):
        head = matrix(rows, width, channels * patch**2, shape.heads)
        found[name] = decoder(config, width, shape, patches) + head
    head = matrix(rows, camera, camera, shape.heads) * 6 + matrix(shape.frames, camera, camera, shape.heads) * 2
    head += matrix(shape.frames, camera, 3 + 9, shape.heads)
    return found | {"camera": decoder(config, camera, shape, patches) + head}


def decoder(config: Pi3Config, outputs: int, shape: Shape, patches: int) -> Work:
    """One of pi3's small decoders: into its width, some blocks, out for the patches."""
    tokens, width, size = patches + config.registers, config.head_width, shape.trunk
    block = linear(shape.frames * tokens, width, config.mlp_ratio, size)
    block += attention(shape.frames, tokens, width, size)
    into = matrix(shape.frames * tokens, 2 * config.encoder.width, width, size)
    return into + block * config.head_depth + matrix(shape.frames * patches, width, outputs, size)
