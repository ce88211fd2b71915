"""Run a golden case: python tests/golden.py vggt_small --seed 0 --inputs in.npz --out out.npz

The inputs hold `images` (B, N, 3, H, W) in [0, 1] and, to track points, `query_points` (B, Q, 2); for Depth Anything 3
known cameras as `extrinsics` (B, N, 4, 4) and `intrinsics` (B, N, 3, 3). The outputs get the names that follow
`CASE/out/` in the golden files, tokens uncut. Weights are the synthetic ones of fill_weights.py in the reference
folder, or a checkpoint (--weights FILE); both go through our own loader. Always float32, on the CPU or with --device
cuda.
"""

import argparse
import importlib.util
import runpy
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
runpy.run_path(str(ROOT / "__main__.py"), run_name="manyview_registration")

from manyview.models.aggregator import LayerTokens  # noqa: E402
from manyview.models.attention import GlobalAttention, dense_attention  # noqa: E402
from manyview.models.checkpoints import load_model  # noqa: E402
from manyview.models.da3 import OUTPUTS, SIZES, DepthAnything3, DepthAnything3Config  # noqa: E402
from manyview.models.da3_cameras import decode_camera_to_world, encode_camera_to_world  # noqa: E402
from manyview.models.dense_head import DenseHeadConfig  # noqa: E402
from manyview.models.dinov2 import EncoderConfig  # noqa: E402
from manyview.models.geometry import decode_pose, unproject_depth  # noqa: E402
from manyview.models.head_inputs import HeadInputs  # noqa: E402
from manyview.models.pi3 import PI3, Pi3, Pi3Config  # noqa: E402
from manyview.models.track_head import TrackHeadConfig  # noqa: E402
from manyview.models.vggt import VGGT, VGGT_1B, VGGTConfig  # noqa: E402


@dataclass(frozen=True)
class GoldenModel:
    """A configuration, and the list of its tensors, relative to the reference folder."""

    config: VGGTConfig | Pi3Config | DepthAnything3Config
    manifest: str


GOLDEN_MODELS = {
    "vggt_small": GoldenModel(
        VGGTConfig(
            encoder=EncoderConfig(width=384, depth=12, heads=6, image_size=70),
            depth=8,
            heads=6,
            kept_layers=(1, 3, 5, 7),
            track=TrackHeadConfig(corr_levels=4),
        ),
        "golden/manifest_vggt_small.json",
    ),
    "vggt_1b": GoldenModel(VGGT_1B, "manifests/manifest_vggt_1b.json"),
    "pi3_small": GoldenModel(
        Pi3Config(encoder=EncoderConfig(width=384, depth=12, heads=6), depth=8, heads=6, head_depth=2),
        "golden/manifest_pi3_small.json",
    ),
    "pi3": GoldenModel(PI3, "manifests/manifest_pi3.json"),
    "da3_tiny": GoldenModel(
        DepthAnything3Config(
            width=64,
            depth=10,
            heads=4,
            alternate_from=4,
            kept_layers=(5, 6, 7, 9),
            dense=DenseHeadConfig(features=32, channels=(16, 24, 32, 48)),
            image_size=70,
        ),
        "golden/manifest_da3_tiny.json",
    ),
    **{f"da3_{size}": GoldenModel(SIZES[size], f"manifests/manifest_da3_{size}.json") for size in SIZES},
}


def load_golden_model(
    name: str,
    *,
    seed: int = 0,
    style: str = "default",
    weights: Path | None = None,
    global_attention: GlobalAttention = dense_attention,
    shared: Path = SHARED,
) -> VGGT | Pi3 | DepthAnything3:
    """The model with synthetic weights, a pure function of the seed and the tensor names, or with those of a file."""
    golden = GOLDEN_MODELS[name]
    if weights is None:
        fill_weights = reference_module("fill_weights", shared)
        weights = fill_weights.iter_weights(shared / golden.manifest, seed, style)
    return load_model(weights, config=golden.config, global_attention=global_attention).model


def run_golden(
    model: VGGT | Pi3 | DepthAnything3, inputs: Mapping[str, np.ndarray], reference: str = "saddle_balanced"
) -> dict[str, np.ndarray]:
    """All outputs of one case, by their golden names, computed where the model is and without TF32."""
    device = next(model.parameters()).device
    images = torch.from_numpy(np.asarray(inputs["images"], dtype=np.float32)).to(device)
    images = images if images.dim() == 5 else images[None]
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        if isinstance(model, Pi3):
            found = run_pi3(model, images)
        elif isinstance(model, DepthAnything3):
            names = ("extrinsics", "intrinsics")
            cameras = [
                torch.from_numpy(np.asarray(inputs[name])).float().to(device) for name in names if name in inputs
            ]
            found = run_da3(model, images, cameras, reference)
        else:
            points = inputs.get("query_points")
            points = None if points is None else torch.from_numpy(np.asarray(points)).float().to(device)
            found = run_vggt(model, images, points)
    return {key: value.cpu().numpy() for key, value in found.items()}


def run_vggt(model: VGGT, images: Tensor, query_points: Tensor | None) -> dict[str, Tensor]:
    wanted = ("camera", "depth", "points") if query_points is None else ("camera", "depth", "points", "tracks")
    parts = {"encoder": model.aggregator.patch_embed}
    if model.track_head is not None:
        parts["transformer"] = model.track_head.tracker.updateformer
    with recorded(parts) as calls, taken_layers() as layers:
        output = model(images, outputs=wanted, query_points=query_points)
    pose = output.pose_passes[-1]
    extrinsics, intrinsics = decode_pose(pose, images.shape[-2:])
    found = {
        "dino_patch_tokens": calls["encoder"][0].output,
        **{f"tokens_{layer:02d}": tokens.joined() for layer, tokens in layers.items()},
        "pose_enc_iters": output.pose_passes,
        "pose_enc": pose,
        "depth": output.depth[..., None],
        "depth_conf": output.depth_confidence,
        "world_points": output.world_points,
        "world_points_conf": output.world_points_confidence,
        "extrinsics": extrinsics,
        "intrinsics": intrinsics,
        "world_points_from_depth": unproject_depth(output.depth, extrinsics, intrinsics),
    }
    if query_points is not None:
        found["track_iters"] = output.tracks
        found["track"] = output.tracks[-1]
        found["vis"] = output.track_visibility
        found["conf"] = output.track_confidence
        found["track_transformer_in"] = torch.stack([call.inputs[0] for call in calls["transformer"][:2]])
    return found


def run_pi3(model: Pi3, images: Tensor) -> dict[str, Tensor]:
    with recorded({"encoder": model.encoder, "decoder": model.point_decoder}) as calls:
        output = model(images)
    return {
        "dino_patch_tokens": calls["encoder"][0].output,
        "decoder_tokens": torch.cat([call.inputs[0] for call in calls["decoder"]]),
        "points": output.points,
        "local_points": output.local_points,
        "conf": output.confidence_logits[..., None],
        "camera_poses": output.camera_to_world,
    }


def run_da3(model: DepthAnything3, images: Tensor, cameras: list[Tensor], reference: str) -> dict[str, Tensor]:
    size = tuple(images.shape[-2:])
    poses = encode_camera_to_world(*cameras, size) if cameras else None
    blocks = model.backbone["pretrained"].blocks
    with stream(blocks) as tokens, taken_layers() as layers, recorded({"encoder": model.cam_enc}) as calls:
        output = model(images, outputs=OUTPUTS, poses=poses, reference=reference)
    extrinsics, intrinsics = decode_camera_to_world(output.pose_encoding, size)
    found = {
        "pose_enc": output.pose_encoding,
        "extrinsics": extrinsics,
        "intrinsics": intrinsics,
        "depth": output.depth,
        "depth_conf": output.depth_confidence,
        "ray": output.rays,
        "ray_conf": output.ray_confidence,
        "camera_token": layers[model.config.kept_layers[-1]].special(0),
    }
    for number, layer in enumerate(model.config.kept_layers):
        found[f"head_in_{number}"] = layers[layer].joined()[:, :, 1:]
    if cameras:
        found["cam_enc_tokens"] = calls["encoder"][0].output
    order = network_order(output.reference, images.shape[:2])
    if output.reference is not None and images.shape[1] > 2:
        found["ref_index"], found["permutation"] = order[:, 0], order
    moved = model.config.alternate_from - 1  # from this block on the public code has the reference frame in front
    for number, x in enumerate(tokens):  # the embedding, then what every block gives
        x = x.view(*images.shape[:2], -1, x.shape[-1])
        x = x if number <= moved else x[torch.arange(len(x))[:, None], order]
        found["tokens_embed" if number == 0 else f"block_{number - 1:02d}"] = x
        if number:
            found[f"aux_feat_layer_{number - 1}"] = feature_map(model.backbone["pretrained"].norm(x)[:, :, 1:], size)
    return found


def network_order(is_reference: Tensor | None, scenes: tuple[int, int]) -> Tensor:
    """(B, N) numbers of the input's frames, the reference first and the others as they came."""
    frames = torch.arange(scenes[1]).expand(scenes)
    if is_reference is None:
        return frames
    return torch.where(is_reference.cpu(), -1, frames).argsort(dim=1, stable=True)


def feature_map(tokens: Tensor, size: tuple[int, int], patch: int = 14) -> Tensor:
    """Patch tokens (B, N, h*w, C) -> (B, N, h, w, C)."""
    return tokens.unflatten(2, (size[0] // patch, size[1] // patch))


@contextmanager
def stream(blocks: nn.ModuleList) -> Iterator[list[Tensor]]:
    """Copies of the residual stream: what the first block reads, then what every block gives (they work in place)."""
    found: list[Tensor] = []
    first = blocks[0].register_forward_pre_hook(lambda module, inputs: found.append(inputs[0].clone()))
    handles = [
        block.register_forward_hook(lambda module, inputs, output: found.append(output[0].clone())) for block in blocks
    ]
    try:
        yield found
    finally:
        for handle in (first, *handles):
            handle.remove()


@contextmanager
def taken_layers() -> Iterator[dict[int, LayerTokens]]:
    """Copies of the tokens of the layers that the heads take something of."""
    layers: dict[int, LayerTokens] = {}
    take = HeadInputs.take

    def recording(inputs: HeadInputs, layer: int, tokens: LayerTokens) -> None:
        layers[layer] = replace(tokens, inside=tokens.inside.clone(), across=tokens.across.clone())
        take(inputs, layer, tokens)

    HeadInputs.take = recording
    try:
        yield layers
    finally:
        HeadInputs.take = take


@dataclass(frozen=True)
class Call:
    inputs: tuple[Any, ...]
    output: Any


@contextmanager
def recorded(parts: Mapping[str, nn.Module]) -> Iterator[dict[str, list[Call]]]:
    """What the named parts of a model read and return while the block runs."""
    calls: dict[str, list[Call]] = defaultdict(list)

    def recorder(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        return lambda module, inputs, output: calls[name].append(Call(inputs, output))

    handles = [part.register_forward_hook(recorder(name)) for name, part in parts.items()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def reference_module(name: str, shared: Path = SHARED) -> ModuleType:
    """fill_weights or compare, from the reference folder."""
    spec = importlib.util.spec_from_file_location(name, shared / "golden" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(GOLDEN_MODELS))
    parser.add_argument("--seed", type=int, default=0, help="of the synthetic weights (default 0)")
    parser.add_argument("--style", choices=("default", "faint"), default="default", help="of the synthetic weights")
    parser.add_argument(
        "--reference", default="saddle_balanced", help="how Depth Anything 3 chooses its reference frame"
    )
    parser.add_argument("--weights", type=Path, help="a checkpoint instead of synthetic weights")
    parser.add_argument("--inputs", type=Path, required=True, help=".npz with images and perhaps query_points")
    parser.add_argument("--out", type=Path, required=True, help=".npz to write")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--shared", type=Path, default=SHARED, help="the reference folder (default: beside this one)")
    arguments = parser.parse_args()
    with np.load(arguments.inputs) as inputs:
        case = {key: inputs[key] for key in inputs.files}
    model = load_golden_model(
        arguments.model,
        seed=arguments.seed,
        style=arguments.style,
        weights=arguments.weights,
        shared=arguments.shared,
    )
    found = run_golden(model.to(arguments.device), case, arguments.reference)
    np.savez(arguments.out, **found)
    for key, value in found.items():
        print(f"{key:28} {value.shape!s:24} {value.dtype}")


if __name__ == "__main__":
    sys.exit(main())
