"""Block-sparse attention by the kernel for Hopper GPUs; without such a GPU, that other kernels take its place."""

import inspect
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from manyview.models import gpu_kernels, hopper
from manyview.models.attention import TokenLayout
from manyview.models.sparse import BlockIndex, BlockLayout, BlockSparse, SparsityConfig, preset
from manyview.models.sparse.select import index_width, lists_of

triton = pytest.importorskip("triton", reason="Triton is not installed")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu" and tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7):
    pytest.skip("the interpreter of Triton before 3.7 does not work with NumPy 2.4", allow_module_level=True)
from manyview.models.sparse import hopper as sparse_hopper  # noqa: E402 (needs Triton)
from manyview.models.sparse import kernel, operation  # noqa: E402

HERE = hopper.why_not(torch.device(DEVICE), torch.bfloat16, 64)
on_hopper = pytest.mark.skipif(HERE is not None, reason=str(HERE))
OURS = replace(preset("balanced"), min_tokens=0)
LARGE = TokenLayout(frames=5, special=5, height=19, width=23)


def operands(layout: TokenLayout, dtype: torch.dtype, width: int = 64) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shape = (1, layout.frames * layout.tokens_per_frame, 3, 2, width)
    return torch.randn(shape, generator=generator).to(DEVICE, dtype).permute(2, 0, 3, 1, 4).unbind(0)


@pytest.mark.parametrize("wrong", [None, "it is off by 10 %"])
def test_other_kernels_do_the_work_of_a_wrong_one(wrong: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = TokenLayout(frames=2, special=1, height=3, width=4)
    config = SparsityConfig(rho=0.5, query_block=8, key_block=8)
    problem = BlockSparse(config).problem(*operands(layout, torch.float32, 16), layout, 0)
    asked, done = [], []

    def fault(*variant: object) -> str | None:
        asked.append(variant)
        return wrong

    monkeypatch.setattr(sparse_hopper, "fault", fault)
    monkeypatch.setattr(sparse_hopper, "sparse_attention_hopper", lambda *given, **more: done.append(given))
    out, pairs = operation.run_hopper(problem)
    expected, same = operation.run_triton(problem)
    assert asked == [(problem.query.device, torch.float32, problem.blocks, False)] and torch.equal(pairs, same)
    assert len(done) == (1 if wrong is None else 0)
    if wrong is not None:
        torch.testing.assert_close(out, expected)


def test_what_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hopper, "why_not", lambda *where: None)
    monkeypatch.setattr(gpu_kernels, "_faults", {})
    where = torch.device("cuda"), torch.bfloat16

    def why_not(key_block: int) -> str | None:
        return sparse_hopper.why_not(*where, 64, BlockLayout(LARGE, 64, key_block), False)

    assert why_not(32) is None
    for block in (4, 48, 256):
        assert f"not {block}" in why_not(block)

    def broken(*problem: object) -> tuple[Tensor, Tensor]:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(sparse_hopper, "_trial", broken)
    sparse_hopper.fault(*where, BlockLayout(LARGE, 64, 32), False)
    assert why_not(32) == "the Hopper kernel fails its check: RuntimeError: no such instruction"
    assert why_not(16) is None  # another variant


@pytest.mark.skipif(DEVICE == "cuda", reason="there the kernel itself is tried")
def test_the_trial_passes_a_right_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_kernels, "_faults", {})
    where = torch.device("cpu"), torch.float32
    blocks = BlockLayout(TokenLayout(1, 1, 4, 4), 64, 16)

    def other(*given: object, out: Tensor, passes: int) -> None:
        kernel.sparse_attention_triton(*given, out=out)

    monkeypatch.setattr(sparse_hopper, "small", lambda blocks: blocks)
    monkeypatch.setattr(sparse_hopper, "sparse_attention_hopper", other)
    assert sparse_hopper.fault(*where, blocks, True) is None
    monkeypatch.setattr(sparse_hopper, "sparse_attention_hopper", lambda *given, out, passes: out.fill_(1.0))
    assert "off by" in sparse_hopper.fault(*where, blocks, False)


@pytest.mark.skipif(hopper.why_no_gluon() is not None, reason=str(hopper.why_no_gluon()))
@pytest.mark.skipif(DEVICE == "cuda", reason="there the kernel itself is tried")
@pytest.mark.parametrize("pooled", [False, True])
def test_arguments_in_their_places(pooled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is called with what its names say; lists and numbers are told apart by their sizes."""
    from manyview.models import hopper_kernels

    names, calls = list(inspect.signature(hopper_kernels.attend.fn).parameters), []

    class Recorder:
        def __getitem__(self, grid: tuple[int, int]) -> Callable[..., None]:
            return lambda *given, **more: calls.append(dict(zip(names, given, strict=False)) | more | {"grid": grid})

    monkeypatch.setattr(hopper_kernels, "attend", Recorder())
    blocks = BlockLayout(TokenLayout(2, 7, 15, 21), 64, 32, framed=True, group=2)
    sparse_hopper._trial(blocks, torch.bfloat16, torch.device("cpu"), pooled)
    query, key, _ = operands(LARGE, torch.bfloat16)
    hopper.attend_all_keys(query, key, key)
    first, second, listed, dense = calls
    assert all(set(names) <= set(call) for call in calls)
    assert [call["state"] for call in calls] == [2, 3, 1, 0]
    for call in (first, second):
        assert call["whole_ptr"] is call["count_ptr"] and call["special_count"] == call["groups"] == 0
    assert torch.equal(second["begin_ptr"], first["count_ptr"]) and not first["begin_ptr"].any()
    assert torch.equal(listed["begin_ptr"] - second["begin_ptr"], second["count_ptr"])
    assert (listed["count_ptr"] - listed["whole_ptr"]).max() == 2  # the short blocks of both frames
    assert listed["lse_ptr"].shape == (1, 2, 630) and listed["lse_pair"] == 630
    assert all(call["lse_ptr"].dtype == torch.float32 for call in calls)
    assert listed["grid"] == (10, 2) and dense["grid"] == (-(-LARGE.frames * LARGE.tokens_per_frame // 192), 2)
    assert [listed[name].base.shape[2] for name in ("k_desc", "v_desc", "sk_desc", "sv_desc")] == [644, 644, 14, 14]
    assert [listed[name].block_shape[2] for name in ("k_desc", "v_desc", "sk_desc", "ck_desc")] == [32, 32, 128, 128]
    assert listed["left_ptr"].shape == ((1, 2, 10, 10) if pooled else (1, 2, 10))
    assert listed["index_ptr"].shape == (1, 2, 10, 20) and listed["count_ptr"].shape == listed["whole_ptr"].shape
    assert (listed["q_start_ptr"].max(), listed["q_length_ptr"].max()) == (315 + 256, 64)
    assert (listed["q_row"], listed["o_row"], listed["index_row"]) == (384, 128, 20)
    assert (listed["heads"], listed["first"], listed["rows"], listed["per_frame"]) == (2, 0, 10, 315)
    assert (listed["keys"], listed["special_count"], listed["groups"], listed["short"]) == (644, 14, 10, 315 % 32)
    assert (listed["per_block"], listed["gap"], listed["skip"]) == (-(-(2**30) // 10), 2, 7)
    tokens = LARGE.frames * LARGE.tokens_per_frame
    assert (dense["heads"], dense["rows"], dense["keys"], dense["special_count"], dense["gap"]) == (
        2,
        tokens,
        tokens,
        0,
        0,
    )
    assert dense["k_desc"].base.shape == key.shape and (dense["q_row"], dense["o_row"]) == (384, 128)
    assert listed["scale"] == dense["scale"] == pytest.approx(0.125 * 1.4426950408889634)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_lists_are_cut_into_passes(number: int) -> None:
    blocks = BlockLayout(LARGE, 64, 16, framed=True, group=2)
    lengths = blocks.key_table(DEVICE)[1]
    random = torch.Generator().manual_seed(0)
    sees = torch.rand((1, 2, blocks.query_blocks, blocks.key_blocks), generator=random).to(DEVICE) < 0.2
    index = lists_of(sees & (lengths > 0), blocks, lengths, blocks.key_blocks, 0)
    done, states = torch.zeros_like(sees, dtype=torch.int32), []
    for place, (state, (begin, count, whole)) in enumerate(sparse_hopper.cut_lists(*index.in_memory(), blocks, number)):
        states.append(state)
        begin = torch.zeros_like(begin) if number == 1 else begin
        entry = torch.arange(index.indices.shape[-1], device=DEVICE)
        mine = (entry >= begin[..., None]) & (entry < (begin + count)[..., None])
        done.scatter_add_(-1, index.indices.clamp(min=0).long(), mine.to(torch.int32))
        inside = mine & (entry < (begin + whole)[..., None])
        seen = index.indices[inside]
        assert (seen * number // blocks.key_blocks == place).all() and (lengths[seen.long()] == 16).all()
        assert (lengths[index.indices[mine & ~inside].long()] < 16).all()
    assert torch.equal(done > 0, sees & (lengths > 0)) and done.max() == 1
    assert states == {1: [0], 2: [2, 1], 5: [2, 3, 3, 3, 1]}[number]


def test_passes_where_they_pay() -> None:
    def passes(config: SparsityConfig, frames: int) -> int:
        blocks = config.blocks(TokenLayout(frames, 5, 37, 37))
        row = torch.empty(1, 1, 1, index_width(blocks, config, 0, 16), device="meta")
        return sparse_hopper.passes_that_pay(BlockIndex(row, row, row, row), blocks)

    assert [passes(preset("balanced"), frames) for frames in (1, 50, 100, 200, 500)] == [1, 1, 2, 3, 7]
    assert [passes(preset("fast"), frames) for frames in (50, 100, 500)] == [1, 1, 6]
    assert [passes(preset("long"), frames) for frames in (200, 1000)] == [1, 1]  # few keys for a query
    assert [passes(replace(preset("paper-s75"), query_block=size), 500) for size in (64, 128)] == [7, 1]


@pytest.mark.skipif(HERE is None, reason="there is such a GPU here")
def test_asked_for_elsewhere() -> None:
    with pytest.raises(ValueError, match="The backend 'hopper' cannot run here"):
        BlockSparse(OURS, "hopper")(*operands(LARGE, torch.bfloat16), LARGE, 0)


CONFIGS = {
    "128 x 64": SparsityConfig(rho=0.5),
    "192 x 128": SparsityConfig(rho=0.5, query_block=192, key_block=128),
    "64 x 8": SparsityConfig(rho=0.7, query_block=64, key_block=8),
    "256 x 32": SparsityConfig(rho=0.7, query_block=256, key_block=32),
    "tau": SparsityConfig(tau=0.7, query_block=48, key_block=16),
    "balanced": OURS,
    "long": replace(preset("long"), min_tokens=0, max_keys=256, rho=0.6),
    "no centroids": replace(OURS, centroid_block=0, pooling="avg"),
    "three groups": replace(OURS, query_block=192, score_block=16),
}


@on_hopper
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("special", [0, 5])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_same_as_the_reference(config: SparsityConfig, special: int, dtype: torch.dtype) -> None:
    layout = replace(LARGE, special=special)
    held = operands(layout, dtype)
    exact, density = BlockSparse(config, "reference")(*(x.double() for x in held), layout, 0)
    plain, _ = BlockSparse(config, "torch")(*held, layout, 0)
    attend = BlockSparse(config, "hopper")
    out, same = attend(*held, layout, 0)
    error, other = (float((x.double() - exact).norm() / exact.norm()) for x in (out, plain))
    wrong = sparse_hopper.fault(held[0].device, dtype, config.blocks(layout), config.pooled)
    assert wrong is None  # so it was the kernel
    assert error <= 2 * other + 1e-4
    torch.testing.assert_close(same, density, rtol=0.02, atol=0)  # float64 may choose a few other blocks
    assert attend.backend_report() == "hopper (as asked for)"
    assert torch.equal(out, attend(*held, layout, 0)[0])


@on_hopper
@pytest.mark.parametrize("name", ["128 x 64", "192 x 128", "64 x 8", "balanced"])
@pytest.mark.parametrize("passes", [2, 7])
def test_in_passes(name: str, passes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config, held = CONFIGS[name], operands(LARGE, torch.bfloat16)
    exact, _ = BlockSparse(config, "reference")(*(x.double() for x in held), LARGE, 0)
    attend, errors = BlockSparse(config, "hopper"), []
    for number in (1, passes):
        monkeypatch.setattr(sparse_hopper, "passes_that_pay", lambda *lists, number=number: number)
        out, _ = attend(*held, LARGE, 0)
        errors.append(float((out.double() - exact).norm() / exact.norm()))
    assert errors[1] <= (1.5 if passes == 2 else 2) * errors[0]  # rounded after each pass


@on_hopper
def test_masked_patches_and_auto() -> None:
    mask = torch.rand(5, 19, 23, generator=torch.Generator().manual_seed(3)) > 0.7
    held = operands(LARGE, torch.bfloat16)
    expected, density = BlockSparse(OURS, "triton", mask)(*held, LARGE, 0)
    attend = BlockSparse(OURS, patch_mask=mask)
    out, same = attend(*held, LARGE, 0)
    assert attend.backend_report() == "hopper (made for this GPU)"
    assert float((out - expected).float().norm() / expected.float().norm()) < 5e-3 and torch.equal(same, density)


@on_hopper
def test_a_graph_replays_it() -> None:
    attend = BlockSparse(OURS)
    held = [x.clone() for x in operands(LARGE, torch.bfloat16)]
    attend(*held, LARGE, 0)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out, _ = attend(*held, LARGE, 0)
    fresh = [x.flip(2) for x in operands(LARGE, torch.bfloat16)]
    for one, other in zip(held, fresh, strict=True):
        one.copy_(other)
    graph.replay()
    torch.testing.assert_close(out, attend(*fresh, LARGE, 0)[0])
