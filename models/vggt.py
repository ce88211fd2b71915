"""VGGT (Wang et al. 2025): images of one scene -> cameras, depth, world points and point tracks in one forward pass.

Read top to bottom: configuration, output, model. Cameras are OpenCV (x right, y down, z forward), camera from
world, and the world is the first frame's camera.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .aggregator import Aggregator, AggregatorConfig
from .attention import GlobalAttention, dense_attention
from .camera_head import CameraHead, CameraHeadConfig
from .config_fields import read_config
from .dense_head import DenseHead, DenseHeadConfig, depth_from_raw, points_from_raw
from .gathered import Gathered
from .head_inputs import HeadInputs
from .parallel import FrameParallel
from .progress import Progress
from .track_head import TrackHead, TrackHeadConfig

OUTPUTS = ("camera", "depth", "points", "tracks")


@dataclass(frozen=True)
class VGGTConfig(AggregatorConfig):
    """The aggregator's fields and the heads; None or False leaves a head out.

    `kept_layers` are the four that dense and track heads read, early to late; the camera head reads the last layer.
    """

    kept_layers: tuple[int, int, int, int] = (4, 11, 17, 23)
    camera: CameraHeadConfig | None = field(default_factory=CameraHeadConfig)
    dense: DenseHeadConfig = field(default_factory=DenseHeadConfig)
    depth_head: bool = True
    point_head: bool = True
    track: TrackHeadConfig | None = field(default_factory=TrackHeadConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(layer < self.depth for layer in self.kept_layers):
            raise ValueError(f"kept_layers must be four layers below depth {self.depth}, got {self.kept_layers}.")


VGGT_1B = VGGTConfig()


@dataclass(frozen=True)
class VGGTOutput:
    """What was asked for; the rest is None. All float32 (or float64 if the heads are)."""

    pose_passes: Tensor | None = None  # (passes, B, N, 9) [translation, quaternion xyzw, fov_h, fov_w]; last is best
    depth: Tensor | None = None  # (B, N, H, W), along the camera's z axis
    depth_confidence: Tensor | None = None  # (B, N, H, W), above 1
    world_points: Tensor | None = None  # (B, N, H, W, 3)
    world_points_confidence: Tensor | None = None  # (B, N, H, W), above 1
    tracks: Tensor | None = None  # (passes, B, N, Q, 2) pixels x, y
    track_visibility: Tensor | None = None  # (B, N, Q) in 0..1
    track_confidence: Tensor | None = None  # (B, N, Q) in 0..1
    density: Tensor | None = None  # (layers, B, heads), share of pairs computed by global attention; None: all


class VGGT(nn.Module):
    """The network; `global_attention` has no parameters, so every choice loads the same checkpoint."""

    def __init__(self, config: VGGTConfig = VGGT_1B, global_attention: GlobalAttention = dense_attention) -> None:
        super().__init__()
        self.config = config
        width = 2 * config.encoder.width  # [frame | global]
        patch_size = config.encoder.patch_size
        self.aggregator = Aggregator(config, global_attention)
        self.camera_head = CameraHead(width, config.camera) if config.camera else None
        self.depth_head = DenseHead(width, 2, config.dense, patch_size) if config.depth_head else None
        self.point_head = DenseHead(width, 4, config.dense, patch_size) if config.point_head else None
        self.track_head = TrackHead(width, config.track, patch_size) if config.track else None

    def forward(
        self,
        images: Tensor,
        *,
        outputs: Sequence[str] = ("camera", "depth"),
        query_points: Tensor | None = None,
        frame_chunk: int = 8,
        global_attention: GlobalAttention | None = None,
        parallel: FrameParallel | None = None,
        progress: Progress | None = None,
        head_dtype: torch.dtype | None = None,
        results: str | torch.device | None = None,
        maps: str | torch.device | None = None,
    ) -> VGGTOutput:
        """Reconstruct B scenes of N frames.

        images: (B, N, 3, H, W) or (N, 3, H, W), RGB in [0, 1], H and W multiples of the patch size. They may lie on the
        CPU while the weights are on a GPU; each is then copied when its turn comes.
        outputs: any of "camera", "depth", "points", "tracks"; tracks need query_points, (B, Q, 2) or (Q, 2), pixels
        (x, y) in the first frame. Encoder and dense heads take `frame_chunk` frames at a time, which changes nothing
        but the memory (in training they take all at once). `global_attention` takes the place of the model's own for
        this pass, so that one loaded model serves several settings. With `parallel` images and outputs are those of
        the frames of this process; there are no tracks then.
        head_dtype: bfloat16 or float16 for the convolutions of the depth and point heads, all but the last layer; None
        computes them as exactly as their weights. results, maps: where depth and points are collected, and where
        what the dense heads read waits for them, such as "cpu" to save the GPU's memory; None: where they are made.
        Maps are a large part of what many frames hold; bringing them back takes some time.
        """
        images, query_points = self._check(images, outputs, query_points)
        check_pass_options(frame_chunk, head_dtype)
        if parallel is not None and "tracks" in outputs:
            raise ValueError("Tracks are not split over several GPUs; leave them out or use one GPU.")
        size = tuple(images.shape[-2:])
        device = next(self.parameters()).device
        chunk = images.shape[0] * images.shape[1] if self.training else frame_chunk
        known = {"depth": self.depth_head, "points": self.point_head}
        inputs = HeadInputs(
            dense={name: head for name, head in known.items() if name in outputs},
            kept_layers=self.config.kept_layers,
            camera_layer=self.config.depth - 1 if "camera" in outputs else None,
            wants_tracks="tracks" in outputs,
            special=self.aggregator.special_tokens,
            image_size=size,
            frame_chunk=chunk,
            precision=lambda: self._dense_precision(device, head_dtype),
            maps_on=maps,
        )
        aggregated = self.aggregator(
            images,
            sorted(inputs.layers),
            frame_chunk=chunk,
            global_attention=global_attention,
            parallel=parallel,
            progress=progress,
            take=inputs.take,
        )
        found: dict[str, Any] = {"density": aggregated.density}
        if "camera" in outputs:
            _report(progress, "camera")
            with torch.autocast(device.type, enabled=False):  # too precise a task for 16 bits, in training too
                found["pose_passes"] = self.cameras(inputs.camera_tokens, parallel)
        if "tracks" in outputs:
            _report(progress, "tracks")
            patches = [inputs.track_tokens[number] for number in range(len(self.config.kept_layers))]
            inputs.track_tokens.clear()
            with self._dense_precision(device, None):
                tracked = self.track_head(patches, size, query_points, frame_chunk=chunk)
            found["tracks"], found["track_visibility"], found["track_confidence"] = tracked
            del patches
        if "depth" in outputs:
            depth = self._dense("depth", depth_from_raw, inputs, images.shape[:2], results, progress)
            found["depth"], found["depth_confidence"] = depth
        if "points" in outputs:
            points = self._dense("points", points_from_raw, inputs, images.shape[:2], results, progress)
            found["world_points"], found["world_points_confidence"] = points
        return VGGTOutput(**found)

    def cameras(self, tokens: Tensor, parallel: FrameParallel | None) -> Tensor:
        """Camera tokens (B, N, 2C) -> poses (passes, B, N, 9)."""
        if parallel is None:
            return self.camera_head(tokens)
        return parallel.own_frames(self.camera_head(parallel.all_frames(tokens)), 2)

    def _dense(
        self,
        name: str,
        activate: Callable[[Tensor], tuple[Tensor, Tensor]],
        inputs: HeadInputs,
        scenes: tuple[int, int],
        results: str | torch.device | None,
        progress: Progress | None,
    ) -> tuple[Tensor, ...]:
        """Values and confidence of all frames, (B, N, H, W, ...) each, some frames at a time."""
        head, total = inputs.dense[name], scenes[0] * scenes[1]
        gathered = Gathered(total, results)
        for start in range(0, total, inputs.frame_chunk):
            _report(progress, name, start, total)
            with inputs.precision():
                raw = head.predict(inputs.maps_of(name, start, start + inputs.frame_chunk), inputs.image_size)
                gathered.add(activate(raw))
        return tuple(x.unflatten(0, scenes) for x in gathered.all())

    def _dense_precision(self, device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager:
        """Dense heads run in the precision of their weights or in `dtype`; in training the caller's autocast stays."""
        if self.training:
            return nullcontext()
        return torch.autocast(device.type, dtype, enabled=dtype is not None)

    def _check(
        self, images: Tensor, outputs: Sequence[str], query_points: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Images with the batch axis and query points (B, Q, 2), or one sentence on what is wrong."""
        images = check_images(images, self.config.encoder.patch_size)
        heads = {
            "camera": self.camera_head,
            "depth": self.depth_head,
            "points": self.point_head,
            "tracks": self.track_head,
        }
        for name in outputs:
            if name not in heads:
                raise ValueError(f"Unknown output {name!r}; choose from {', '.join(OUTPUTS)}.")
            if heads[name] is None:
                raise ValueError(f"This model has no head for {name!r}; ask for other outputs or load another model.")
        if "tracks" not in outputs:
            return images, None
        if query_points is None:
            raise ValueError("The output 'tracks' needs query_points, pixels (x, y) in the first frame; pass them.")
        points = query_points if query_points.dim() == 3 else query_points.expand(images.shape[0], -1, -1)
        if points.shape[0] != images.shape[0] or points.shape[-1] != 2:
            raise ValueError(f"query_points must be (B, Q, 2) or (Q, 2), got {tuple(query_points.shape)}.")
        return images, points


def check_pass_options(frame_chunk: int, head_dtype: torch.dtype | None) -> None:
    """ValueError if one of them cannot be."""
    if frame_chunk < 1:
        raise ValueError(f"frame_chunk must be at least 1, got {frame_chunk}.")
    if head_dtype not in (None, torch.bfloat16, torch.float16):
        raise ValueError(f"head_dtype must be bfloat16, float16 or None for that of the weights, got {head_dtype}.")


def check_images(images: Tensor, patch_size: int) -> Tensor:
    """Images as (B, N, 3, H, W), or a ValueError that says what is wrong with them."""
    if images.dim() == 4:
        images = images[None]
    if images.dim() != 5 or images.shape[2] != 3:
        raise ValueError(f"Images must be (B, N, 3, H, W) or (N, 3, H, W), got {tuple(images.shape)}.")
    if images.shape[0] < 1 or images.shape[1] < 1:
        raise ValueError(f"At least one image is needed, got {tuple(images.shape)}.")
    if not images.is_floating_point():
        raise ValueError(f"Images must be floating point in [0, 1], got {images.dtype}; divide 8-bit images by 255.")
    height, width = images.shape[-2:]
    if height % patch_size or width % patch_size or not height or not width:
        raise ValueError(
            f"Height and width must be multiples of {patch_size}, got {height} x {width}; resize the images."
        )
    return images


def config_to_dict(config: VGGTConfig) -> dict[str, Any]:
    """Plain numbers, lists and dicts, for JSON."""
    return asdict(config)


def config_from_dict(fields: dict[str, Any]) -> VGGTConfig:
    """The inverse of `config_to_dict`, also after a round trip through JSON (which turns tuples into lists)."""
    return read_config(VGGTConfig, fields)


def _report(progress: Progress | None, stage: str, done: int = 0, total: int = 1) -> None:
    if progress is not None:
        progress(stage, done, total)
