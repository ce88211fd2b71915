"""The clock: parts add up to the whole, and nothing stays in the model."""

import torch

from manyview.evaluation.analysis.random_weights import random_weights_model
from manyview.evaluation.analysis.timing import PARTS, time_passes
from manyview.models.checkpoints import load_model
from manyview.models.dinov2 import EncoderConfig
from manyview.models.pi3 import Pi3Config
from manyview.models.sparse import BlockSparse, SparsityConfig

SMALL_PI3 = Pi3Config(
    encoder=EncoderConfig(width=32, depth=1, heads=2, image_size=56),
    depth=4,
    heads=2,
    head_width=32,
    head_heads=2,
    head_depth=1,
    camera_width=32,
)


def test_parts_of_a_pass(tiny_model) -> None:
    loaded = load_model(tiny_model)
    sparse = BlockSparse(SparsityConfig(rho=0.5, query_block=8, key_block=4))
    calls = []
    dense, some = time_passes(loaded, [1, 3], (28, 42), sparse, 2, lambda *what: calls.append(what))
    assert (dense.frames, some.frames) == (1, 3) and calls == [("time", 0, 2), ("time", 1, 2)]
    for one in (dense, some):
        assert set(one.seconds) == {*PARTS, "total"}
        assert all(one.seconds[part] > 0 for part in ("encoder", "frame", "global", "heads", "total"))
        assert abs(sum(one.seconds[part] for part in PARTS) - one.seconds["total"]) < 0.02 * one.seconds["total"]
    assert 0 < some.density < 1
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in loaded.model.modules())


def test_random_weights(tiny_model) -> None:
    loaded = random_weights_model(SMALL_PI3, torch.bfloat16, torch.device("cpu"))
    again = random_weights_model(SMALL_PI3, torch.bfloat16, torch.device("cpu"))
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])
    assert loaded.family == "pi3"
    assert loaded.model(torch.rand(2, 3, 28, 28)).points.isfinite().all()
