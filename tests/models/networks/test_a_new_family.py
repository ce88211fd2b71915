"""A family of networks that nobody knows, in one file: what it takes to be loaded, run, estimated and evaluated."""

from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from manyview.evaluation.methods.manyview import ManyViewMethod
from manyview.models import families
from manyview.models.attention import TokenLayout, dense_attention
from manyview.models.catalog import CHECKPOINTS, Checkpoint
from manyview.models.checkpoints import load_model, save_model
from manyview.models.geometry import make_intrinsics
from manyview.models.layers import Block
from manyview.models.networks import Network, Prediction, Workload
from manyview.models.networks.prediction import single, single_density
from manyview.models.sparse import SparsityConfig
from manyview.nodes import parameters
from manyview.nodes.graph import inference
from manyview.nodes.graph.host import FolderHost
from manyview.nodes.load_images import load_images
from manyview.nodes.reconstruct import reconstruct

PATCH = 14


@dataclass(frozen=True)
class ToyConfig:
    width: int = 32
    heads: int = 2


class Toy(nn.Module):
    """One global block, a depth for each patch, cameras all in one place."""

    def __init__(self, config: ToyConfig, global_attention=dense_attention) -> None:
        super().__init__()
        self.config, self.global_attention = config, global_attention
        self.toy_embed = nn.Conv2d(3, config.width, PATCH, PATCH)
        self.block = Block(config.width, config.heads)
        self.depth = nn.Linear(config.width, 1)

    def forward(self, images: Tensor, *, frame_chunk=8, global_attention=None, progress=None, results=None):
        batch, frames, _, height, width = images[None].shape if images.dim() == 4 else images.shape
        layout = TokenLayout(frames, 0, height // PATCH, width // PATCH)
        tokens = self.toy_embed(images.reshape(-1, 3, height, width)).flatten(2).transpose(1, 2)  # (B*N, P, C)
        attend = global_attention or self.global_attention
        tokens, density = self.block(tokens.reshape(batch, -1, tokens.shape[-1]), None, attend, layout)
        patches = self.depth(tokens).exp().reshape(batch, frames, layout.height, layout.width)
        depth = patches.repeat_interleave(PATCH, -1).repeat_interleave(PATCH, -2)
        return SimpleNamespace(depth=depth, density=None if density is None else density[None])


class ToyNetwork(Network):
    pixel_center = 0.5
    patch_size, image_size, special_tokens, global_layers, outputs = PATCH, 56, 0, 1, ("depth",)

    @property
    def width(self) -> int:
        return self.model.config.width

    @property
    def heads(self) -> int:
        return self.model.config.heads

    def options(self, **wanted) -> dict:
        return {}

    def prediction(self, output, image_size, weights=None) -> Prediction:
        depth = single(output.depth)
        focal = torch.full((len(depth),), 50.0, dtype=torch.float64)
        return Prediction(
            world_to_camera=torch.eye(3, 4, dtype=torch.float64).repeat(len(depth), 1, 1),
            intrinsics=make_intrinsics(focal, focal, image_size),
            depth=depth,
            confidence=torch.full_like(depth, 0.5),
            density=single_density(output.density),
        )

    def depth(self, output) -> Tensor:
        return output.depth[0]

    def depth_tap(self) -> None:
        return None

    def head_frame_bytes(self, work: Workload) -> float:
        return 4.0 * work.pixels

    def output_channels(self, work: Workload) -> int:
        return 2


TOY = families.Family(
    name="toy",
    title="Toy",
    model=Toy,
    network=ToyNetwork,
    config_type=ToyConfig,
    config_for=lambda shapes: ToyConfig(),
    config_from_dict=lambda fields: ToyConfig(**fields),
    marker="toy_embed.weight",
    heads={},
    precise=(),
    ignored=families.FAMILIES[0].ignored,
    stacks={},
)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the toy in the catalog; its file lies where users put theirs."""
    monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, TOY))
    row = Checkpoint("toy", "toy", "nobody/toy", "model.safetensors", "Apache-2.0", True, None, 1000, "this test")
    monkeypatch.setitem(CHECKPOINTS, "toy", row)
    monkeypatch.setenv("MANYVIEW_MODELS", str(tmp_path / "models"))
    (tmp_path / "models" / "toy").mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_model(Toy(ToyConfig()), tmp_path / "models" / "toy" / "model.safetensors")
    return "toy"


def test_reconstructs(toy: str, photos: Path) -> None:
    model = load_model(toy)
    assert model.family == "toy" and asdict(model.model.config) == {"width": 32, "heads": 2}
    sparsity = SparsityConfig(rho=0.5, query_block=4, key_block=4)
    scene = reconstruct(model, load_images(photos, model=model), sparsity=sparsity)
    assert scene.depth.shape[0] == 3 and max(scene.depth.shape[1:]) == 56
    assert scene.point_source == "depth" and scene.density.shape == (1, 2) and scene.density.mean() < 1


def test_its_memory_is_estimated(toy: str) -> None:
    network = load_model(toy).network
    assert network.activation_bytes(Workload(20, 56, 56)) > network.activation_bytes(Workload(2, 56, 56)) > 0
    assert network.tokens(Workload(2, 56, 42)) == 2 * 4 * 3


def test_is_evaluated(toy: str) -> None:
    prediction = ManyViewMethod(load_model(toy)).predict(torch.rand(3, 3, 42, 56))
    assert prediction.world_points().shape == (3, 42, 56, 3)


def test_runs_in_a_graph(toy: str, tmp_path: Path) -> None:
    host = FolderHost(tmp_path / "base", torch.device("cpu"))
    options = {"limit": 0, "selection": "even", "resize": "keep", "resolution": 56, "point_source": "auto"}
    lists = {name: [value] for name, value in (options | {"frame_chunk": 8, "backend": "auto"}).items()}
    packet = {"loaded": load_model(toy)}
    result = inference.run_reconstruct(host, model=[packet], images=[torch.rand(2, 60, 80, 3)], **lists)
    assert len(result.outputs[0]["names"]) == 2


def test_lists_of_models_are_those_of_the_catalog() -> None:
    assert tuple(CHECKPOINTS) == parameters.MODEL_CHOICES
