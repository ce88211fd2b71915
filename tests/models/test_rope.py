"""The rotary embedding agrees with the published one and with its definition."""

import pytest
import torch

from manyview.models.attention import TokenLayout
from manyview.models.rope import apply_rope, rope_at, rope_table

FLOAT = torch.float32
CPU = torch.device("cpu")


@pytest.mark.parametrize("case", ["rope2d_d64", "rope2d_d16", "rope2d_far"])
def test_golden(case, function_goldens):
    vectors = function_goldens.tensor(f"{case}/in/x")
    positions = function_goldens.tensor(f"{case}/in/positions_yx")[0]
    turned = apply_rope(vectors, rope_at(positions, vectors.shape[-1], FLOAT))
    function_goldens.agree(f"{case}/out/y", turned)


def test_grid_starts_at_one_and_special_tokens_do_not_turn(function_goldens):
    grid = function_goldens.tensor("position_grid/out/yx")[0]  # before the shift by one
    layout = TokenLayout(frames=1, special=3, height=4, width=6)
    table = rope_table(layout, 16, CPU, FLOAT)
    expected = rope_at(torch.cat([torch.zeros(3, 2, dtype=torch.long), grid + 1]), 16, FLOAT)
    assert torch.equal(table.cos, expected.cos) and torch.equal(table.sin, expected.sin)
    vectors = torch.randn(1, 2, layout.tokens_per_frame, 16)
    assert torch.equal(apply_rope(vectors, table)[:, :, :3], vectors[:, :, :3])


def test_every_frame_turns_alike():
    layout = TokenLayout(frames=3, special=2, height=3, width=5)
    table = rope_table(layout, 8, CPU, FLOAT)
    vectors = torch.randn(2, 4, 3 * layout.tokens_per_frame, 8)
    together = apply_rope(vectors, table)
    for frame, part in enumerate(vectors.split(layout.tokens_per_frame, dim=2)):
        assert torch.equal(together.split(layout.tokens_per_frame, dim=2)[frame], apply_rope(part, table))


def test_products_depend_on_the_difference_of_positions():
    query, key = torch.randn(2, 1, 1, 1, 32, dtype=torch.float64).unbind(0)

    def product(at_query, at_key):
        turned = [
            apply_rope(vector, rope_at(torch.tensor([at]), 32, torch.float64))
            for vector, at in ((query, at_query), (key, at_key))
        ]
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(product((2, 3), (7, 1)), product((12, 8), (17, 6)))
    assert (product((2, 3), (7, 1)) - product((2, 3), (1, 7))).abs() > 1e-6
