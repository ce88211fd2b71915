"""What tests/models/test_parallel.py compares: outputs of one process, and of several when this file is run in each."""

import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

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


@dataclass(frozen=True)
class Case:
    """One pass of one model."""

    family: str
    sparsity: str
    frames: int = 5
    batch: int = 1
    sampled: bool = False  # the histogram takes only some query blocks, other ones for other heads
    masked: bool = False

    def attention(self) -> Any:
        config = SPARSITIES[self.sparsity]
        if config is None:
            return dense_attention
        mask = torch.rand(self.frames, 3, 4, generator=torch.Generator().manual_seed(2)) > 0.3
        return BlockSparse(config, "torch", mask if self.masked else None)

    def run(self, part: Callable | None = None) -> Any:
        """The output; `part` makes images that of one process, and says how they are split."""
        torch.manual_seed(0)
        model = VGGT(VGGT_TINY).eval() if self.family == "vggt" else Pi3(PI3_TINY).eval()
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
    "pi3-dense-batch": Case("pi3", "dense", batch=2),
    "pi3-paper": Case("pi3", "paper"),
    "pi3-ours": Case("pi3", "ours"),
}


def main(folder: Path) -> None:
    """All cases in one of several processes; the first one writes."""
    torch.set_num_threads(1)
    outputs = {}
    with parallel.process_group(torch.device("cpu")):
        for name, case in CASES.items():
            part = parallel.FrameParallel(case.frames)
            outputs[name] = part.gather(case.run(part))
    if outputs["vggt-dense"] is not None:
        torch.save({name: vars(output) for name, output in outputs.items()}, folder / "outputs.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
