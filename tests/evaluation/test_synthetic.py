"""The bundled model does its job: accuracy on a scene that training never saw, and on the bundled sample."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from manyview.evaluation.metrics import auc, depth_errors, pair_errors
from manyview.evaluation.synthetic import FIRST_SEED, evaluate_synthetic
from manyview.nodes.load_images import load_images
from manyview.nodes.load_model import load_model
from manyview.nodes.reconstruct import reconstruct


@pytest.fixture(scope="module")
def mini():
    return load_model("mini", device="cpu")


def test_unseen_scenes(mini) -> None:
    result = evaluate_synthetic(mini.model, scenes=2, frames=4, size=(168, 168))
    assert result["auc_30"] > 60
    assert result["abs_rel"] < 12
    assert FIRST_SEED == 1_000_000  # training draws its seeds below


def test_scenes_do_not_depend_on_the_global_seed() -> None:
    from manyview.models.vggt import VGGT
    from manyview.training.trainer import MINI

    torch.manual_seed(0)
    model = VGGT(MINI).eval()
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        results.append(evaluate_synthetic(model, scenes=1, frames=2, size=(28, 28)))
    assert results[0] == results[1]


def test_sample(mini, root: Path) -> None:
    folder = root / "sample"
    truth = json.loads((folder / "cameras.json").read_text(encoding="utf-8"))
    depth = np.load(folder / "depth.npz")["depth"].astype(np.float32)
    scene = reconstruct(mini, load_images(folder, model=mini))
    assert list(scene.names) == [entry["file"] for entry in truth["frames"]]
    poses = np.array([entry["world_to_camera"] for entry in truth["frames"]])
    errors = np.maximum(*pair_errors(scene.world_to_camera, poses))
    assert auc(errors, 30) > 0.8
    assert np.median(errors) < 5
    # depth at the centres of the model's pixels, looked up in the true maps
    sx, sy, ox, oy = scene.scale_offset.T
    height, width = scene.depth.shape[1:]
    columns = (sx[:, None] * (np.arange(width) + 0.5) + ox[:, None]).astype(int).clip(0, depth.shape[2] - 1)
    rows = (sy[:, None] * (np.arange(height) + 0.5) + oy[:, None]).astype(int).clip(0, depth.shape[1] - 1)
    looked_up = np.stack([depth[n][rows[n]][:, columns[n]] for n in range(len(depth))])
    assert depth_errors(scene.depth, looked_up, looked_up > 0)["abs_rel"] < 0.08
    focal = np.array([entry["intrinsics"][0][0] for entry in truth["frames"]])
    np.testing.assert_allclose(scene.intrinsics[:, 0, 0] * sx, focal, rtol=0.1)


def test_the_protocol_gives_the_same_numbers(mini, tmp_path: Path) -> None:
    from manyview.evaluation.datasets.synthetic import Synthetic
    from manyview.evaluation.methods.manyview import ManyViewMethod
    from manyview.evaluation.results import collect
    from manyview.evaluation.run import run_benchmark
    from manyview.evaluation.store import RunFolder

    benchmark, method, folder = Synthetic(4, 2, (112, 112)), ManyViewMethod(mini), RunFolder(tmp_path)
    run_benchmark(benchmark, [method], folder)
    found = collect(folder, [benchmark], [method], {})["benchmarks"][0]["methods"][0]["summary"]
    expected = evaluate_synthetic(mini.model, scenes=2, frames=4, size=(112, 112))
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12)


def test_rendering_by_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from manyview.evaluation.datasets import synthetic

    whole = synthetic.Synthetic(5, 1, (28, 42)).load("1000000")
    monkeypatch.setattr(synthetic, "PIXELS_AT_ONCE", 2 * 28 * 42)
    parts = synthetic.Synthetic(5, 1, (28, 42)).load("1000000")
    assert whole.input_sha256() == parts.input_sha256()
    np.testing.assert_array_equal(whole.truth.depth, parts.truth.depth)
