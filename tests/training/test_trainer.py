"""Training end to end with a tiny network, and its parts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from manyview.models.camera_head import CameraHeadConfig
from manyview.models.checkpoints import load_model
from manyview.models.dense_head import DenseHeadConfig
from manyview.models.dinov2 import EncoderConfig
from manyview.models.geometry import encode_pose
from manyview.models.vggt import VGGT, VGGTConfig
from manyview.training.batches import draw_seeded_scenes, make_batch
from manyview.training.checkpoint import checkpoint_path
from manyview.training.losses import (
    LossWeights,
    TrainingModel,
    camera_loss,
    log_depth_loss,
    patch_targets,
    relative_loss,
)
from manyview.training.optimizer import make_optimizers, orthogonalise
from manyview.training.sample import write_sample
from manyview.training.trainer import CONTINUED, MINI, Phase, Sources, TrainingPlan, train

TINY = VGGTConfig(
    encoder=EncoderConfig(width=32, depth=1, heads=2, image_size=28, layer_scale=0.2, stem_channels=(8, 8)),
    depth=2,
    heads=2,
    layer_scale=0.2,
    special_token_std=0.02,
    kept_layers=(0, 0, 1, 1),
    camera=CameraHeadConfig(trunk_depth=1, heads=2, mlp_ratio=1.0, passes=2),
    dense=DenseHeadConfig(features=16, channels=(8, 8, 8, 8), hidden=8),
    point_head=False,
    track=None,
)
PLAN = TrainingPlan(
    minutes=None,
    steps=3,
    phases=(Phase(0.5, ((28, 28),), 4, (2,)), Phase(1.0, ((28, 42),), 4, (4,))),
    compile=False,
    evaluate_scenes=1,
    evaluate_every=0.5,
    log_every=1,
)


@pytest.fixture(scope="module")
def batch():
    return make_batch(*draw_seeded_scenes([1, 2], 3, "cpu"), (28, 42), torch.Generator().manual_seed(1))


def test_train_writes_a_model_that_loads(tmp_path: Path) -> None:
    path = train(PLAN, tmp_path / "run", TINY)
    loaded = load_model(path)
    assert loaded.model.config == TINY
    entries = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert {"device", "torch", "plan", "config"} <= set(entries[0])
    assert [entry["step"] for entry in entries if "total" in entry] == [0, 1, 2]
    assert {entry["evaluation"] for entry in entries if "evaluation" in entry} == {8, 24}


class Killed(BaseException):
    """Stands for a process that ends without another line of Python."""


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    plan, stop = replace(PLAN, steps=5, evaluate_every=2.0, checkpoint_every=0.4), 3  # a checkpoint after step 2

    def kill(stage: str, done: int, total: int) -> None:
        if done == 1000 * stop // 5:
            raise Killed

    train(plan, tmp_path / "whole", TINY)
    with pytest.raises(Killed):
        train(plan, tmp_path / "killed", TINY, progress=kill)
    assert checkpoint_path(tmp_path / "killed").exists()
    train(plan, tmp_path / "killed", TINY)
    states = [load_model(tmp_path / name / "model.safetensors").model.state_dict() for name in ("whole", "killed")]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=0, atol=0)
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("whole", "killed")]
    last = [{k: v for k, v in json.loads(lines[-2]).items() if k != "seconds"} for lines in logs]
    assert last[0] == last[1]
    assert "finished" in json.loads(logs[1][-1])
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == [
        "helpers.safetensors",
        "log.jsonl",
        "model.safetensors",
    ]


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    plan = replace(PLAN, steps=5, evaluate_every=2.0, checkpoint_every=0.2)

    def kill(stage: str, done: int, total: int) -> None:
        if done > 500:
            raise Killed

    with pytest.raises(Killed):
        train(plan, tmp_path, TINY, progress=kill)
    with pytest.raises(ValueError, match="belongs to a run with other options"):
        train(replace(plan, seed=1), tmp_path, TINY)
    checkpoint_path(tmp_path).write_bytes(b"PK damaged")
    with pytest.raises(ValueError, match="delete it to start anew"):
        train(plan, tmp_path, TINY)


def test_a_few_steps_lower_the_loss(batch) -> None:
    torch.manual_seed(0)
    module = TrainingModel(VGGT(TINY), LossWeights())
    optimizers = make_optimizers(module, 3e-3, 3e-3, 0.0)
    totals = []
    for _ in range(12):
        total = module(batch, 1, 1.0)["total"]
        total.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        totals.append(total.item())
    assert totals[-1] < 0.9 * totals[0]


def test_every_parameter_learns(batch) -> None:
    module = TrainingModel(VGGT(TINY), LossWeights())
    module(batch, 1, 1.0)["total"].backward()
    assert [name for name, parameter in module.named_parameters() if parameter.grad is None] == []
    grouped = [p for o in make_optimizers(module, 1.0, 1.0, 0.0) for g in o.param_groups for p in g["params"]]
    assert len(grouped) == len(set(map(id, grouped))) == len(list(module.parameters()))


def test_true_poses_cost_nothing(batch) -> None:
    truth = encode_pose(batch.world_to_camera, batch.intrinsics, batch.images.shape[-2:])
    assert camera_loss(truth[None], batch).item() == pytest.approx(0.0, abs=1e-6)
    assert relative_loss(truth, batch).item() < 2e-3
    moved = truth.clone()
    moved[:, 1, 0] += 0.2
    assert relative_loss(moved, batch).item() > 0.02


def test_true_depth_has_no_error(batch) -> None:
    depth, valid = batch.depth[0], batch.valid[0]
    certain = torch.full_like(depth, -20.0)  # confidence 1, whose logarithm is 0
    assert log_depth_loss(depth.log(), certain, depth, valid).item() == pytest.approx(0.0, abs=1e-5)
    assert log_depth_loss(depth.log() + 0.1, certain, depth, valid).item() == pytest.approx(0.1, abs=1e-3)


def test_patches_match_themselves_in_the_same_view() -> None:
    scenes, cameras = draw_seeded_scenes([4], 2, "cpu")
    cameras.position[:, 1], cameras.rotation[:, 1] = cameras.position[:, 0], cameras.rotation[:, 0]
    cameras.focal[:, 1] = cameras.focal[:, 0]
    targets = patch_targets(make_batch(scenes, cameras, (42, 42)), 14, 1)
    here = torch.arange(9).expand(1, 2, 9)
    assert targets.matched[targets.valid].all()
    assert torch.equal(targets.match[targets.matched], here[targets.matched])


def test_orthogonalise() -> None:
    for shape in ((3, 16, 16), (2, 8, 24), (2, 24, 8)):
        values = torch.linalg.svdvals(
            orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(0))).float()
        )
        assert values.min() > 0.4
        assert values.max() < 1.4


def test_plan() -> None:
    assert PLAN.phase(0.2).sizes == ((28, 28),)
    assert PLAN.phase(1.0).sizes == ((28, 42),)
    plan = replace(PLAN, warmup_steps=10)
    assert plan.rate(0, 0.0) == pytest.approx(0.1)
    assert plan.rate(100, 0.2) == 1.0
    assert plan.rate(100, 1.0) == 0.0
    for phase in (*TrainingPlan().phases, *CONTINUED.phases):
        assert all(phase.frames % views == 0 for views in phase.views)
        assert all(side % MINI.encoder.patch_size == 0 for size in phase.sizes for side in size)


def test_sample_folder(tmp_path: Path) -> None:
    write_sample(tmp_path / "new", seed=1, frames=2, size=(28, 42))
    about = json.loads((tmp_path / "new" / "cameras.json").read_text())
    assert [entry["file"] for entry in about["frames"]] == ["frame_00.jpg", "frame_01.jpg"]
    with pytest.raises(FileExistsError, match="not empty"):
        write_sample(tmp_path / "new", seed=1, frames=2, size=(28, 42))
    with pytest.raises(ValueError, match="at least 1 frame"):
        write_sample(tmp_path / "other", seed=1, frames=0, size=(28, 42))


def test_a_run_starts_from_the_weights_of_another(tmp_path: Path) -> None:
    first = train(replace(PLAN, steps=1), tmp_path / "first", TINY)
    assert first.with_name("helpers.safetensors").exists()
    plan = replace(PLAN, steps=1, matrix_rate=0.0, other_rate=0.0, weight_decay=0.0, ema=0.0)
    second = train(plan, tmp_path / "second", sources=Sources(start=first))
    states = [load_model(path).model.state_dict() for path in (first, second)]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=0, atol=0)
    helpers = [load_file(path.with_name("helpers.safetensors")) for path in (first, second)]
    torch.testing.assert_close(helpers[0], helpers[1], rtol=0, atol=0)


def test_a_paused_run_is_resumed(tmp_path: Path) -> None:
    plan = replace(PLAN, steps=12, evaluate_every=2.0, log_every=100)
    train(plan, tmp_path, TINY, sources=Sources(pause=1e-9))
    assert checkpoint_path(tmp_path).exists() and (tmp_path / "model.safetensors").exists()
    train(plan, tmp_path, TINY)
    assert not checkpoint_path(tmp_path).exists()
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["resumed_at_step"] for entry in entries if "resumed_at_step" in entry] == [10]
    assert "finished" in entries[-1]
