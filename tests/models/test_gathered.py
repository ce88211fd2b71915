"""Results of some frames at a time."""

import pytest
import torch

from manyview.models.gathered import Gathered


@pytest.mark.parametrize("device", [None, "cpu"])
def test_parts_come_to_their_places(device: str | None) -> None:
    depth, logits = torch.randn(7, 4, 5), torch.randn(7, 2)
    gathered = Gathered(7, device)
    for start in (0, 3, 6):
        gathered.add((depth[start : start + 3], logits[start : start + 3]))
    found = gathered.all()
    assert torch.equal(found[0], depth) and torch.equal(found[1], logits)


def test_gradients_pass() -> None:
    values = torch.randn(4, 2, requires_grad=True)
    gathered = Gathered(4)
    gathered.add((2 * values[:3],))
    gathered.add((3 * values[3:],))
    gathered.all()[0].sum().backward()
    assert torch.equal(values.grad, torch.tensor([[2.0], [2.0], [2.0], [3.0]]).expand(4, 2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_from_a_gpu_to_ordinary_memory() -> None:
    depth = torch.randn(7, 64, 64, device="cuda")
    gathered = Gathered(7, "cpu")
    for start in (0, 3, 6):
        gathered.add((depth[start : start + 3].clone(),))
    (found,) = gathered.all()
    assert torch.equal(found, depth.cpu()) and not found.is_pinned()
