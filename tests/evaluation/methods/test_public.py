"""Public models out of checkouts, with stand-ins that have the public interface."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from manyview.evaluation.methods.public import PublicMethod, parse_public

VGGT = """
import torch
from torch import nn
class VGGT(nn.Module):
    def __init__(self, value=VALUE):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(float(value)))
        self.aggregator = nn.Identity()
    def forward(self, images):
        batch, frames, _, height, width = images.shape
        pose = torch.zeros(batch, frames, 9)
        pose[..., 0] = torch.arange(frames) * self.scale
        pose[..., 6] = 1
        pose[..., 7:] = 1.0
        depth = self.scale * torch.ones(batch, frames, height, width, 1)
        return {"pose_enc": pose, "depth": depth, "depth_conf": depth[..., 0]}
"""
PI3 = """
import torch
from torch import nn
class Pi3(nn.Module):
    def forward(self, images):
        batch, frames, _, height, width = images.shape
        local = torch.rand(batch, frames, height, width, 3) + 1
        poses = torch.eye(4).repeat(batch, frames, 1, 1)
        poses[..., 0, 3] = torch.arange(frames)
        return {"points": local, "local_points": local, "conf": local[..., :1], "camera_poses": poses}
"""
SPARSE = """
def sparse_aggregator_from_vggt(aggregator, sparse_ratio=None, cdf_threshold=None, aux_output=False, verbose=True):
    assert aux_output and not verbose and sparse_ratio == 0.5
    return aggregator, {0: {"sparsity": 0.4}, 1: {"sparsity": 0.2}}
"""


def write_package(folder: Path, module: str, code: str) -> Path:
    file = folder / Path(*module.split(".")).with_suffix(".py")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(code)
    return folder


def images(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 28, 42)


def public(text: str) -> PublicMethod:
    return PublicMethod(parse_public(text), torch.device("cpu"))


def test_vggt(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "a", "vggt.models.vggt", VGGT.replace("VALUE", "2.0"))
    method = public(f"vggt={folder}")
    found = method.predict(images())
    np.testing.assert_allclose(found.world_to_camera[:, :, :3], np.tile(np.eye(3), (2, 1, 1)))
    np.testing.assert_allclose(found.world_to_camera[:, 0, 3], [0, 2])
    assert found.depth.shape == (2, 28, 42) and (found.depth == 2).all()
    assert found.seconds > 0 and found.mean_density == 1
    assert method.settings()["weights"] == "random" and method.name == "public vggt"


def test_two_packages_of_one_name(tmp_path: Path) -> None:
    before = list(sys.path)
    first = public(f"vggt={write_package(tmp_path / 'a', 'vggt.models.vggt', VGGT.replace('VALUE', '2.0'))}")
    second = public(f"vggt={write_package(tmp_path / 'b', 'vggt.models.vggt', VGGT.replace('VALUE', '3.0'))}")
    assert (first.predict(images()).depth[0, 0, 0], second.predict(images()).depth[0, 0, 0]) == (2, 3)
    assert sys.path == before and not any(name.split(".")[0] == "vggt" for name in sys.modules)


def test_code_may_import_itself_while_it_runs(tmp_path: Path) -> None:
    late = VGGT.replace("VALUE", "2.0").replace(
        "        batch, frames,", "        import vggt.late\n        batch, frames,", 1
    )
    write_package(tmp_path / "a", "vggt.late", "")
    method = public(f"vggt={write_package(tmp_path / 'a', 'vggt.models.vggt', late)}")
    other = public(f"vggt={write_package(tmp_path / 'b', 'vggt.models.vggt', VGGT.replace('VALUE', '3.0'))}")
    for _ in range(2):
        assert (method.predict(images()).depth[0, 0, 0], other.predict(images()).depth[0, 0, 0]) == (2, 3)
        assert not any(name.split(".")[0] == "vggt" for name in sys.modules)
    assert "vggt.late" in method.modules and "vggt.late" not in other.modules


def test_outputs_leave_out_heads(tmp_path: Path) -> None:
    heads = VGGT.replace("VALUE", "2.0").replace(
        "nn.Identity()\n",
        "nn.Identity()\n        self.camera_head = self.depth_head = self.point_head = nn.Identity()\n",
    )
    choice = parse_public(f"vggt={write_package(tmp_path / 'a', 'vggt.models.vggt', heads)}")
    model = PublicMethod(choice, torch.device("cpu"), outputs=("camera", "depth")).model
    assert model.camera_head is not None and model.depth_head is not None and model.point_head is None
    with pytest.raises(ValueError, match="no track_head; ask for other outputs"):
        PublicMethod(choice, torch.device("cpu"), outputs=("tracks",))


def test_weights(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = write_package(tmp_path / "a", "vggt.models.vggt", VGGT.replace("VALUE", "2.0"))
    save_file({"scale": torch.tensor(5.0), "track_head.x": torch.zeros(1)}, tmp_path / "w.safetensors")
    method = public(f"vggt={folder},{tmp_path / 'w.safetensors'}")
    assert method.predict(images()).depth[0, 0, 0] == 5 and method.settings()["weights"] == "w.safetensors"
    save_file({"other": torch.tensor(5.0)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="lacks 1 tensors of this model, such as scale"):
        public(f"vggt={folder},{tmp_path / 'w.safetensors'}")


def test_pi3(tmp_path: Path) -> None:
    found = public(f"pi3={write_package(tmp_path / 'a', 'pi3.models.pi3', PI3)}").predict(images(3))
    np.testing.assert_allclose(found.world_to_camera[:, 0, 3], [0, -1, -2])
    assert found.points.shape == (3, 28, 42, 3) and found.confidence.shape == (3, 28, 42)


def test_sparse_vggt(tmp_path: Path) -> None:
    write_package(tmp_path / "s" / "src", "sparse_vggt.models.vggt", SPARSE)
    write_package(tmp_path / "s" / "external" / "vggt", "vggt.models.vggt", VGGT.replace("VALUE", "2.0"))
    method = public(f"sparse-vggt={tmp_path / 's'},sparse_ratio=0.5")
    found = method.predict(images())
    np.testing.assert_allclose(found.density[:, 0], [0.6, 0.8])
    assert method.name == "public sparse-vggt sparse_ratio 0.5"
    other = write_package(tmp_path / "elsewhere", "vggt.models.vggt", VGGT.replace("VALUE", "7.0"))
    moved = public(f"sparse-vggt={tmp_path / 's'},sparse_ratio=0.5,base={other}")
    assert moved.predict(images()).depth[0, 0, 0] == 7


def test_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="KIND of vggt"):
        parse_public("dust3r=/x")
    with pytest.raises(ValueError, match="one folder and one file"):
        parse_public("vggt=/x,/y,/z")
    with pytest.raises(FileNotFoundError, match="folder of the checkout"):
        public(f"vggt={tmp_path / 'none'}")
    with pytest.raises(ImportError, match=r"no pi3\.models\.pi3\.Pi3"):
        public(f"pi3={tmp_path}")
    with pytest.raises(ValueError, match="CUDA only"):
        public(f"fastvggt={tmp_path}")
