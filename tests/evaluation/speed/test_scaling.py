"""Strong scaling: what is compared and counted, with two processes on the CPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from manyview.evaluation.speed.scaling import differences, noise
from manyview.models.vggt import VGGTOutput


@pytest.fixture(scope="module")
def report(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    file = tmp_path_factory.mktemp("scaling") / "scaling.json"
    words = ["--gpus", "1", "2", "--frames", "5", "3", "--tiny", "--device", "cpu", "--sparsity", "dense", "balanced"]
    words += ["--dense-limit", "3", "--repeats", "1", "--check-frames", "4", "--out", str(file)]
    command = [sys.executable, "-W", "error", str(root / "benchmarks" / "scaling.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "2 GPUs     5 frames balanced" in done.stdout
    return json.loads(file.read_text())


def test_a_row_for_every_pass(report: dict) -> None:
    rows = [(row["gpus"], row["frames"], row["sparsity"]) for row in report["rows"]]
    assert rows == [(gpus, *each) for gpus in (1, 2) for each in ((3, "dense"), (3, "balanced"), (5, "balanced"))]
    for row in report["rows"]:
        assert len(row["all_seconds"]) == row["gpus"] and row["over_gpus"] == 1
        assert 0 <= row["communication_seconds"] < row["seconds"]
        assert (row["communication_seconds"] > 0) == (row["gpus"] > 1)
        assert (row["density"] < 1) == (row["sparsity"] == "balanced")


def test_what_a_process_sends(report: dict) -> None:
    """Of 4 layers half of queries, keys and values of its tokens; half of the outputs of all tokens of its heads."""
    tokens, width, layers = 2 * 3 + 5, 64, 4  # patches and special tokens of a frame
    for row in report["rows"]:
        if row["gpus"] == 2:
            own, other = (row["frames"] + 1) // 2, row["frames"] // 2
            assert row["sent_bytes"] == layers * tokens * width // 2 * 4 * (3 * own + other)


def test_output_is_that_of_one(report: dict) -> None:
    assert [(one["sparsity"], one["precision"]) for one in report["agreement"]] == [
        ("dense", "float32"),
        ("balanced", "float32"),
    ]
    for one in report["agreement"]:
        assert one["gpus"] == 2 and max(one["difference"].values()) < 1e-5 < one["other_seed"]["depth"]
    assert report["agreement"][1]["same_density"]


def test_noise_does_not_depend_on_the_split() -> None:
    class Part:
        start, count = 1, 2

    whole = noise(4, (2, 3), torch.device("cpu"))
    assert torch.equal(noise(4, (2, 3), torch.device("cpu"), Part()), whole[:, 1:3])
    assert not torch.equal(whole[:, 0], whole[:, 1]) and whole.min() >= 0 and whole.max() <= 1
    assert not torch.equal(noise(4, (2, 3), torch.device("cpu"), seed=1), whole)


def test_differences_are_shares_of_the_largest_number() -> None:
    one, other = (VGGTOutput(depth=torch.tensor(values)) for values in ([1.0, -4.0], [1.0, -3.0]))
    assert differences(other, one) == {"depth": 0.25}
