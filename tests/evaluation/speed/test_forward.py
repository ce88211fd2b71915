"""Rows of whole passes: what is measured, what is left out and says so, and that all contenders do the same."""

import math

import pytest
import torch

from manyview.evaluation.methods.public import parse_public
from manyview.evaluation.speed import forward
from manyview.evaluation.speed.contenders import OurForward, PublicForward, copy_into, filler
from manyview.evaluation.speed.forward import Maker, Plan, extrapolated, measure_forward, with_roofline
from manyview.evaluation.speed.roofline import Peak, Work
from manyview.models.checkpoints import load_model
from manyview.models.pi3 import Pi3, Pi3Config
from manyview.models.sparse import SparsityConfig

CPU = torch.device("cpu")
PLAN = Plan(frames=(3, 1), sizes=((28, 42),), repeats=2, peak=Peak(1e12, 1e11))
SPARSE = SparsityConfig(rho=0.5, query_block=4, key_block=2)
OUTPUTS = ("camera", "depth", "points")


@pytest.fixture(scope="module")
def loaded(tiny_model):
    return load_model(tiny_model)


def ours(loaded, label: str, sparsity=None, outputs=OUTPUTS) -> Maker:
    return Maker(label, lambda: OurForward(loaded, label, sparsity, outputs))


def test_rows_of_our_models(loaded) -> None:
    calls = []
    makers = [ours(loaded, "dense"), ours(loaded, "half", SPARSE)]
    rows = list(measure_forward(makers, PLAN, CPU, lambda *call: calls.append(call)))
    assert [(row["method"], row["frames"]) for row in rows] == [("dense", 1), ("dense", 3), ("half", 1), ("half", 3)]
    assert calls[-1] == ("forward", 4, 4)
    for row in rows:
        assert row["warm_up"] == 1 and row["repeats"] == 2 == len(row["all_seconds"])
        assert min(row["all_seconds"]) <= row["seconds"] <= max(row["all_seconds"]) and row["first_seconds"] > 0
        assert row["memory_bytes"] is None and row["estimate_bytes"] > 0
        assert math.isclose(sum(part["seconds"] for part in row["parts"].values()), row["parts_pass_seconds"])
        counted = {name for name, part in row["parts"].items() if part.get("share_of_peak", 0) > 0}
        assert counted == {"encoder", "frame", "attention", "global", *OUTPUTS}
        assert math.isclose(row["least_seconds"], sum(row["parts"][name]["least_seconds"] for name in counted))
    dense, half = rows[1], rows[3]
    assert dense["density"] == 1 and 0 < half["density"] < 1 and dense["backend"] == "dense"
    assert math.isclose(half["parts"]["attention"]["flop"], half["density"] * dense["parts"]["attention"]["flop"])
    assert rows[0]["depth_difference"] == 0 < rows[2]["depth_difference"] and "depth_difference" not in rows[1]


def test_public_code_has_our_weights_and_images(loaded, tiny_model, checkouts) -> None:
    fill = filler(str(tiny_model), loaded, CPU)
    choices = [f"vggt={checkouts / 'vggt'}", f"sparse-vggt={checkouts / 'sparse-vggt'},sparse_ratio=0.25"]
    makers = [ours(loaded, "dense")]
    for text in choices:
        makers.append(
            Maker(text, lambda t=text: PublicForward(parse_public(t), CPU, "float32", ("camera", "depth"), fill))
        )
    rows = list(measure_forward(makers, PLAN, CPU))
    assert [row["method"] for row in rows[::2]] == ["dense", "public vggt", "public sparse-vggt sparse_ratio 0.25"]
    for row in rows[2:]:
        assert row.get("depth_difference", 0) == 0 and row["estimate_bytes"] is None
        assert {"encoder", "frame", "global", "camera", "depth"} <= {
            n for n, p in row["parts"].items() if p["seconds"] > 0
        }
        assert "attention" not in row["parts"] and "points" not in row["parts"]
    assert [row["density"] for row in rows[2::2]] == [1.0, 0.75]
    assert rows[2]["checkout"] == "vggt" and rows[4]["options"] == {"sparse_ratio": "0.25"}


def test_random_weights_are_the_same_for_all(monkeypatch: pytest.MonkeyPatch, loaded, checkouts) -> None:
    from manyview.evaluation.analysis import random_weights

    monkeypatch.setitem(random_weights.CONFIGS, "random-tiny", loaded.model.config)
    drawn = random_weights.random_model("random-tiny", torch.float32, CPU)
    public = PublicForward(
        parse_public(f"vggt={checkouts / 'vggt'}"),
        CPU,
        "float32",
        ("camera", "depth"),
        filler("random-tiny", drawn, CPU),
    )
    state = drawn.model.state_dict()
    for name, tensor in public.model.state_dict().items():
        assert name.endswith("mask_token") or torch.equal(tensor, state[name])
    assert public.model.point_head is None


def test_another_architecture_is_refused(loaded, tiny_pi3_config) -> None:
    with pytest.raises(ValueError, match=r"lack \d+ tensors of the public model"):
        filler("random-pi3", load_random(tiny_pi3_config), CPU)(loaded.model)
    name, tensor = next(iter(loaded.model.state_dict().items()))
    with pytest.raises(ValueError, match="in our weights and"):
        copy_into(loaded.model, [(name, torch.cat([tensor, tensor]))])


def load_random(config: Pi3Config):
    from manyview.evaluation.analysis import random_weights

    random_weights.CONFIGS["random-pi3"], kept = config, random_weights.CONFIGS["random-pi3"]
    try:
        return random_weights.random_model("random-pi3", torch.float32, CPU)
    finally:
        random_weights.CONFIGS["random-pi3"] = kept


def test_pi3(tiny_pi3_config) -> None:
    model = load_random(tiny_pi3_config)
    assert isinstance(model.model, Pi3)
    plan = Plan((1,), ((28, 28),), 1)
    row = next(measure_forward([ours(model, "dense", outputs=("camera", "points", "confidence"))], plan, CPU))
    assert {"encoder", "frame", "attention", "global", "points", "confidence", "camera"} <= set(row["parts"])
    assert row["depth_difference"] == 0


class Slow:
    """A contender without a model, whose passes take a second for each frame, and which fails on demand."""

    name, is_dense, offload, model = "slow", True, False, torch.nn.Module()

    def __init__(self, error: BaseException | None = None, from_frames: int = 0) -> None:
        self.error, self.from_frames, self.ran = error, from_frames, []

    def about(self):
        return {"code": "stand-in"}

    def run(self, images, clock=None):
        self.ran.append(len(images))
        if self.error is not None and len(images) >= self.from_frames:
            raise self.error

    def density(self, output):
        return 1.0

    def depth(self, output):
        return None

    def backend(self):
        return "-"

    def estimate_bytes(self, frames, height, width):
        return None

    def work(self, frames, height, width, density):
        return {}


def run_slow(monkeypatch: pytest.MonkeyPatch, slow: Slow, plan: Plan, known=lambda row: None) -> list:
    from contextlib import contextmanager

    @contextmanager
    def measured(device):
        found = type("Measured", (), {"seconds": 0.0, "peak_memory_bytes": None})()
        yield found
        found.seconds = float(slow.ran[-1])

    monkeypatch.setattr(forward, "measured", measured)
    return list(measure_forward([Maker("slow", lambda: slow)], plan, CPU, known=known))


def test_long_inputs_are_left_out_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    plan = Plan((2, 4, 8, 16, 32), ((14, 14),), repeats=3, limit_s=7, parts=False)
    rows = run_slow(monkeypatch, slow, plan)
    assert [row.get("repeats") for row in rows] == [3, 2, 1, None, None]  # no more once they took 7 s together
    assert slow.ran == [2] * 4 + [4] * 3 + [8] * 2
    for row in rows[3:]:
        assert row["error"] == "not run: 8 frames took 8.0 s, more than the limit of 7 s" and "seconds" not in row
        assert "extrapolated_seconds" not in row  # these times do not grow with the square


def test_a_long_pass_is_not_repeated_for_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    (row,) = run_slow(monkeypatch, slow, Plan((8,), ((14, 14),), repeats=3, limit_s=7))
    assert row["seconds"] == 8 and "parts" not in row and slow.ran == [8, 8]


def test_a_row_stays_when_its_parts_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    (row,) = run_slow(monkeypatch, slow, Plan((2,), ((14, 14),), repeats=1))  # its model has no parts
    assert row["seconds"] == 2 and "AttributeError" in row["parts_error"] and "parts" not in row and "error" not in row


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (ImportError("no spas_sage_attn\nand more"), "ImportError: no spas_sage_attn"),
    ],
)
def test_what_fails_is_a_row(monkeypatch: pytest.MonkeyPatch, error: BaseException, told: str) -> None:
    slow = Slow(error, from_frames=4)
    rows = run_slow(monkeypatch, slow, Plan((2, 4, 8), ((14, 14), (28, 28)), repeats=1, parts=False))
    assert [row.get("error") for row in rows] == [None, told, f"not run: 4 frames: {told}"] * 2
    assert all(row["code"] == "stand-in" for row in rows)


def test_a_contender_that_cannot_be_made_is_a_row(loaded) -> None:
    def broken():
        raise ImportError("no such checkout")

    rows = list(measure_forward([Maker("broken", broken), ours(loaded, "dense")], Plan((1,), ((28, 28),), 1), CPU))
    assert rows[0] == {"method": "broken", "error": "ImportError: no such checkout"} and rows[1]["seconds"] > 0


def test_known_rows_are_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    known = {2: {"method": "slow", "frames": 2, "seconds": 0.5, "kept": True}}
    rows = run_slow(monkeypatch, slow, Plan((2, 4), ((14, 14),), 1, parts=False), lambda row: known.get(row["frames"]))
    assert rows[0] == known[2] and set(slow.ran) == {4}
    everything = [Maker("slow", lambda: pytest.fail("made for nothing"))]
    assert list(measure_forward(everything, Plan((2,), ((14, 14),)), CPU, known=lambda row: known[2])) == [known[2]]


def test_dense_time_is_extrapolated_from_what_was_measured() -> None:
    rows = [{"frames": n, "seconds": 3 * n + 0.5 * n**2} for n in (10, 20)] + [{"frames": 40, "error": "not run"}]
    found = extrapolated(rows, 100)
    assert math.isclose(found["extrapolated_seconds"], 5300) and found["extrapolated_from_frames"] == [10, 20]
    assert extrapolated(rows[:1], 100) == {}
    steep = extrapolated([{"frames": 10, "seconds": 1.0}, {"frames": 20, "seconds": 5.0}], 40)
    assert math.isclose(steep["extrapolated_seconds"], 20.0)  # no negative linear part


def test_share_of_peak() -> None:
    row = with_roofline(4.0, Work(1e12, 1e10), Peak(1e12, 1e11))
    assert row == {"seconds": 4.0, "flop": 1e12, "bytes": 1e10, "least_seconds": 1.0, "share_of_peak": 0.25}
    assert with_roofline(4.0, Work(1, 1), None) == {"seconds": 4.0, "flop": 1, "bytes": 1}
    assert with_roofline(4.0, None, Peak(1, 1)) == {"seconds": 4.0}
