"""The clock of parts: every moment belongs to one part, whatever the model calls as modules."""

import pytest
import torch

from manyview.evaluation.speed.part_clock import PartClock, TimedAttention, model_parts, part_clock
from manyview.models.attention import dense_attention
from manyview.models.checkpoints import load_model
from manyview.models.pi3 import Pi3
from manyview.models.sparse import BlockSparse, preset

CPU = torch.device("cpu")


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock is one second later."""
    seconds = iter(range(10_000))
    monkeypatch.setattr(PartClock, "now", lambda self: float(next(seconds)))


def test_inner_parts_are_taken_out_of_outer_ones(ticking) -> None:
    clock = PartClock(CPU)
    clock.mark()  # 0: rest
    clock.enter("global")  # 1
    clock.enter("attention")  # 2
    clock.enter("attention")  # the same part: no mark
    clock.leave()
    clock.leave()  # 3
    clock.leave()  # 4: rest again
    assert clock.seconds() == {"rest": 2.0, "global": 2.0, "attention": 1.0}


def test_on_a_gpu_moments_are_events(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks, recorded = iter(range(100)), []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            recorded.append(self)

        def record(self, stream: str) -> None:
            self.at = next(ticks)

        def elapsed_time(self, end: "Event") -> float:
            return 1000.0 * (end.at - self.at)  # milliseconds

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "stream")
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waited.append(len(recorded)))
    clock = PartClock(torch.device("cuda"))
    clock.mark()
    clock.enter("frame")
    clock.leave()
    assert clock.seconds() == {"rest": 2.0, "frame": 1.0}
    assert waited == [4]  # once, at the end


def test_stages_tell_blocks_that_are_no_modules(ticking) -> None:
    clock = PartClock(CPU)
    for stage, done in (("encoder", 0), ("aggregator", 0), ("aggregator", 1), ("aggregator", 2), ("depth", 0)):
        clock(stage, done, 4)
    assert clock.seconds() == {"encoder": 1.0, "frame": 2.0, "global": 1.0, "depth": 1.0}


def test_between_blocks_that_are_modules_is_rest(ticking) -> None:
    clock = PartClock(CPU)
    clock("aggregator", 0, 2)
    clock.enter("frame")
    clock.leave()
    clock("aggregator", 1, 2)
    clock.enter("depth")  # a head that works while layers still run
    clock.leave()
    clock("camera", 0, 1)
    found = clock.seconds()
    assert found["frame"] == 1 and found["depth"] == 1 and found["camera"] == 1 and "global" not in found
    assert found["rest"] == sum(found.values()) - 3


def test_parts_of_a_pass(tiny_model) -> None:
    model = load_model(tiny_model).model
    with part_clock(model, CPU) as clock, torch.inference_mode():
        attention = TimedAttention(dense_attention, clock)
        model(torch.rand(2, 3, 28, 42), outputs=("camera", "depth"), global_attention=attention, progress=clock)
        found = clock.seconds()
    assert all(found[part] > 0 for part in ("encoder", "frame", "attention", "global", "camera", "depth", "rest"))
    assert "points" not in found
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_parts_cover_both_models(tiny_model, tiny_pi3_config) -> None:
    for model in (load_model(tiny_model).model, Pi3(tiny_pi3_config)):
        inside = {id(p) for modules in model_parts(model).values() for m in modules for p in m.parameters()}
        outside = [name for name, p in model.named_parameters() if id(p) not in inside]
        assert all("token" in name for name in outside), outside  # nothing but camera and register tokens


def test_timed_attention_is_otherwise_the_one_inside() -> None:
    inside = BlockSparse(preset("balanced"))
    timed = TimedAttention(inside, PartClock(CPU))
    assert timed.config is inside.config and timed.backend_report() == "dense"
