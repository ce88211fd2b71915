"""What tests/models/test_parallel.py compares: outputs of one process, and of several when this file is run in each."""

import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    runpy.run_path(str(ROOT / "__main__.py"), run_name="manyview_registration")

from manyview.models import parallel  # noqa: E402
from manyview.models.attention import dense_attention  # noqa: E402
from manyview.models.camera_head import CameraHeadConfig  # noqa: E402
from manyview.models.dense_head import DenseHeadConfig  # noqa: E402
from manyview.models.dinov2 import EncoderConfig  # noqa: E402
from manyview.models.pi3 import Pi3, Pi3Config  # noqa: E402
from manyview.models.sparse import BlockSparse, SparsityConfig, select  # noqa: E402
from manyview.models.track_head import TrackHeadConfig  # noqa: E402
from manyview.models.vggt import VGGT, VGGTConfig  # noqa: E402

ENCODER = EncoderConfig(width=48, depth=1, heads=2, image_size=70, stem_channels=(8, 8))
VGGT_TINY = VGGTConfig(
    encoder=ENCODER,
    depth=4,
    heads=6,
    kept_layers=(0, 1, 2, 3),
    layer_scale=0.5,
    special_token_std=0.5,
    camera=CameraHeadConfig(trunk_depth=1, heads=2),
    dense=DenseHeadConfig(features=16, channels=(8, 8, 16, 16), hidden=8),
    track=None,
)
PI3_TINY = Pi3Config(
    encoder=ENCODER, depth=4, heads=6, layer_scale=0.5, head_width=32, head_heads=2, head_depth=1, camera_width=32
)
TRACKS = TrackHeadConfig(
    features=16, channels=(8, 8, 8, 8), corr_levels=2, width=32, heads=2, depth=1, virtual_points=4
)
PAPER = SparsityConfig(rho=0.5, query_block=8, key_block=4)
OURS = SparsityConfig(
    method="manyview", rho=0.6, query_block=8, key_block=4, score_block=2, centroid_block=8, pooling="spread"
)
BY_HEAD = {1: (0.2, 0.9, 0.5, 0.97, 0.6, 0.3)}  # the heads of one process keep far less than those of another
SPARSITIES = {
    "dense": None,
    "paper": PAPER,
    "paper-mass": replace(PAPER, tau=0.6, layer_rho=BY_HEAD, layer_tau={2: (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)}),
    "ours": OURS,
    "ours-mass": replace(OURS, tau=0.7, dense_layers="0"),
    "ours-by-head": replace(OURS, layer_rho=BY_HEAD),
    "ours-few": replace(OURS, rho=0.95, max_keys=30),
}


LARGER = {"vggt": {2: 5.0, 4: 2.0}, "pi3": {2: 1.8}}  # by the number of a weight's axes


@dataclass(frozen=True)
class Case:
    """One pass of one model."""

    family: str
    sparsity: str
    frames: int = 5
    batch: int = 1
    sampled: bool = False  # the histogram takes only some query blocks, other ones for other heads
    masked: bool = False
    dtype: torch.dtype = torch.float32  # of all but VGGT's heads

    def attention(self) -> Any:
        config = SPARSITIES[self.sparsity]
        if config is None:
            return dense_attention
        mask = torch.rand(self.frames, 3, 4, generator=torch.Generator().manual_seed(2)) > 0.8
        return BlockSparse(config, "torch", mask if self.masked else None)

    def run(self, part: Callable | None = None) -> Any:
        """The output; `part` makes images that of one process, and says how they are split."""
        torch.manual_seed(0)
        model = VGGT(VGGT_TINY).eval() if self.family == "vggt" else Pi3(PI3_TINY).eval()
        with torch.no_grad():
            for weight in model.parameters():  # larger ones, so that it matters what attention does
                weight.mul_(LARGER[self.family].get(weight.dim(), 1.0))
        (model.aggregator if self.family == "vggt" else model).to(self.dtype)
        images = torch.rand(self.batch, self.frames, 3, 42, 56, generator=torch.Generator().manual_seed(1))
        options = {"outputs": ("camera", "depth", "points")} if self.family == "vggt" else {}
        if part is not None:
            options["parallel"] = part
            images = part.own_frames(images)
        before, select.COUNTED_LEVELS = select.COUNTED_LEVELS, 500 if self.sampled else select.COUNTED_LEVELS
        try:
            with torch.inference_mode():
                return model(images, global_attention=self.attention(), frame_chunk=2, **options)
        finally:
            select.COUNTED_LEVELS = before


CASES = {
    "vggt-dense": Case("vggt", "dense"),
    "vggt-dense-batch": Case("vggt", "dense", frames=4, batch=2),
    "vggt-paper": Case("vggt", "paper"),
    "vggt-paper-mass-batch": Case("vggt", "paper-mass", batch=2),
    "vggt-ours": Case("vggt", "ours"),
    "vggt-ours-batch": Case("vggt", "ours", frames=3, batch=2),
    "vggt-ours-mass": Case("vggt", "ours-mass"),
    "vggt-ours-by-head": Case("vggt", "ours-by-head"),
    "vggt-ours-few": Case("vggt", "ours-few", frames=7),
    "vggt-ours-sampled": Case("vggt", "ours", frames=7, sampled=True),
    "vggt-ours-masked": Case("vggt", "ours", masked=True),
    "vggt-ours-bfloat16": Case("vggt", "ours", dtype=torch.bfloat16),
    "pi3-dense-batch": Case("pi3", "dense", batch=2),
    "pi3-paper": Case("pi3", "paper"),
    "pi3-ours": Case("pi3", "ours"),
}


RANKS = (2, 3)


def main(folder: Path) -> None:
    """All cases, over the first two of three processes and over all of them; the first process writes."""
    torch.set_num_threads(1)
    parallel.GATHERED_AT_ONCE_BYTES = 60_000  # results come in several pieces, the last ones of some processes only
    with parallel.process_group(torch.device("cpu")) as device:
        for ranks in RANKS:
            group = dist.new_group(list(range(ranks)))
            if dist.get_rank() >= ranks:
                continue
            outputs = {}
            for name, case in CASES.items():
                part = parallel.FrameParallel(case.frames, group)
                outputs[name] = part.gather(case.run(part))
            found = {"device": str(device), "largest": part.largest(10 + dist.get_rank()), "refused": refused(group)}
            if parallel.is_first():
                found["outputs"] = {name: vars(output) for name, output in outputs.items()}
                torch.save(found, folder / f"{ranks}.pt")
            elif any(output is not None for output in outputs.values()):
                raise RuntimeError("Only the first process may have results.")


def refused(group: dist.ProcessGroup) -> list[str]:
    """What is said about wrong use."""
    part = parallel.FrameParallel(5, group)
    images = torch.rand(1, 5, 3, 28, 42)
    tracker, pi3 = VGGT(replace(VGGT_TINY, track=TRACKS)), Pi3(PI3_TINY)
    wrong = [
        lambda: parallel.FrameParallel(1, group),
        lambda: part.attention(dense_attention, 5 * part.ranks + 1),
        lambda: pi3.eval()(images, parallel=part),
        lambda: tracker(part.own_frames(images), outputs=("tracks",), query_points=torch.rand(1, 2), parallel=part),
        lambda: pi3.train()(part.own_frames(images), parallel=part),
    ]
    said = []
    for call in wrong:
        try:
            call()
            said.append("nothing")
        except ValueError as error:
            said.append(str(error))
    return said


if __name__ == "__main__":
    main(Path(sys.argv[1]))
