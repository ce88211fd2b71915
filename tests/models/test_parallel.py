"""One scene over several processes gives what one process gives: gloo on the CPU, tiny networks of random weights."""

import dataclasses
import importlib.util
import itertools
import sys
from pathlib import Path

import pytest
import torch

from manyview.commands._ranks import run_ranks
from manyview.models.parallel import FrameParallel, is_first, process_group, split

FILE = Path(__file__).with_name("parallel_cases.py")
_spec = importlib.util.spec_from_file_location("manyview_tests_parallel_cases", FILE)
cases = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tiny networks on a busy machine: more threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What three processes wrote, each number of them in a file."""
    folder = tmp_path_factory.mktemp("parallel")
    command = [sys.executable, "-W", "error", str(FILE), str(folder)]
    assert run_ranks(command, max(cases.RANKS)) == 0
    return folder


@pytest.fixture(scope="module", params=cases.RANKS)
def found(request, folder):
    """What so many processes found."""
    return torch.load(folder / f"{request.param}.pt", weights_only=True) | {"ranks": request.param}


@pytest.fixture(scope="module")
def expected():
    """Outputs of one process."""
    return {name: vars(case.run()) for name, case in cases.CASES.items()}


@pytest.mark.parametrize("name", cases.CASES)
def test_same_output_as_one_process(found, expected, name):
    outputs = found["outputs"][name]
    assert outputs.keys() == expected[name].keys()
    for key, value in expected[name].items():
        if value is None:
            assert outputs[key] is None, key
        elif key == "density":
            assert torch.equal(outputs[key], value)  # the same choice
            assert value.min() < 1
        else:
            # in 16 bits a row of a product may round otherwise when it has other neighbours
            bound = 1e-5 if cases.CASES[name].dtype == torch.float32 else 2e-2
            assert (outputs[key] - value).abs().max() < bound * value.abs().max(), key


def test_cases_differ_where_they_should(expected):
    """Else the comparison would show nothing: the choice matters, and what is shared and sampled changes it."""
    names = ("vggt-dense", "vggt-paper", "vggt-ours", "vggt-ours-mass", "vggt-ours-by-head", "vggt-ours-masked")
    depths = [expected[name]["depth"] for name in names]
    assert all((a - b).abs().max() > 1e-3 * a.abs().max() for a, b in itertools.combinations(depths, 2))
    whole = dataclasses.replace(cases.CASES["vggt-ours-sampled"], sampled=False).run()
    assert not torch.equal(expected["vggt-ours-sampled"]["density"], whole.density)


def test_wrong_use_is_one_sentence(found):
    ranks = found["ranks"]
    count = 3 if ranks == 2 else 2
    heads = 5 * ranks + 1
    messages = (
        f"1 frames cannot be split over {ranks} GPUs",
        f"{heads} heads of attention cannot be split over {ranks} GPUs; take 1, ",
        f"Process 0 has {count} of 5 frames, got 5; pass own_frames",
        "Tracks are not split over several GPUs",
        "without gradients only",
    )
    assert all(message in said for message, said in zip(messages, found["refused"], strict=True)), found["refused"]
    assert found["largest"] == 9 + ranks and found["device"] == "cpu"


def test_needs_a_group():
    with pytest.raises(ValueError, match="torchrun"):
        FrameParallel(4)
    assert is_first()


@pytest.mark.parametrize(
    ("device", "lacking", "message"),
    [
        ("cuda", "is_nccl_available", "need NCCL, which this PyTorch lacks"),
        ("cpu", "is_available", "without torch.distributed"),
        ("mps", None, "not on 'mps'"),
    ],
)
def test_what_a_build_lacks_is_said(monkeypatch, device, lacking, message):
    if lacking is not None:
        monkeypatch.setattr(torch.distributed, lacking, lambda: False)
    with pytest.raises(ValueError, match=message), process_group(torch.device(device)):
        pass


@pytest.mark.parametrize(("frames", "ranks", "counts"), [(7, 3, [3, 2, 2]), (6, 3, [2, 2, 2]), (5, 4, [2, 1, 1, 1])])
def test_frames_are_dealt_out_evenly(frames, ranks, counts):
    assert split(frames, ranks) == counts
