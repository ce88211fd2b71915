"""Checkouts that look like the public ones: their models are ours under the public interface."""

from pathlib import Path

import pytest

from manyview.models.checkpoints import load_model

VGGT = """
import torch
from torch import nn
from manyview.models.camera_head import CameraHeadConfig
from manyview.models.dense_head import DenseHeadConfig
from manyview.models.dinov2 import EncoderConfig
from manyview.models.vggt import VGGT as Ours, VGGTConfig
class VGGT(Ours):
    def __init__(self):
        super().__init__(CONFIG)
        self.aggregator.patch_embed.mask_token = nn.Parameter(torch.zeros(1, 64))
        self.track_head = None
    def forward(self, images):
        heads = {"camera": self.camera_head, "depth": self.depth_head, "points": self.point_head}
        found = super().forward(images, outputs=[name for name, head in heads.items() if head is not None])
        depth, confidence = found.depth[..., None], found.depth_confidence
        return {"pose_enc": found.pose_passes[-1], "depth": depth, "depth_conf": confidence}
"""
SPARSE = """
def sparse_aggregator_from_vggt(aggregator, sparse_ratio=None, cdf_threshold=None, aux_output=False, verbose=True):
    return aggregator, {0: {"sparsity": sparse_ratio}}
"""


@pytest.fixture(scope="session")
def checkouts(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A folder with vggt, and sparse-vggt around a copy of it; of the architecture of the tiny model."""
    folder = tmp_path_factory.mktemp("checkouts")
    code = VGGT.replace("CONFIG)", f"{load_model(tiny_model).model.config!r})")
    for base in ("vggt", "sparse-vggt/external/vggt"):
        (folder / base / "vggt" / "models").mkdir(parents=True)
        (folder / base / "vggt" / "models" / "vggt.py").write_text(code)
    (folder / "sparse-vggt" / "src" / "sparse_vggt" / "models").mkdir(parents=True)
    (folder / "sparse-vggt" / "src" / "sparse_vggt" / "models" / "vggt.py").write_text(SPARSE)
    return folder
