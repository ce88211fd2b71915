"""One scene over several processes gives what one process gives: gloo on the CPU, tiny networks of random weights."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from manyview.commands._ranks import run_ranks

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


@pytest.fixture(scope="module", params=[2, 3])
def split_outputs(request, tmp_path_factory):
    """Outputs of all cases from so many processes."""
    folder = tmp_path_factory.mktemp(f"ranks-{request.param}")
    assert run_ranks([sys.executable, "-W", "error", str(FILE), str(folder)], request.param) == 0
    return torch.load(folder / "outputs.pt", weights_only=True)


@pytest.mark.parametrize("name", cases.CASES)
def test_same_output_as_one_process(split_outputs, name):
    expected, found = vars(cases.CASES[name].run()), split_outputs[name]
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if value is None:
            assert found[key] is None, key
        elif key == "density":
            assert torch.equal(found[key], value)  # the same choice
            assert value.min() < 1
        else:
            torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-5, msg=lambda text, key=key: key + text)
