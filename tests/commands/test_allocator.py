"""commands/_allocator.py: where memory may grow in place, and by which of PyTorch's variables."""

import pytest

from manyview import commands
from manyview.commands import _allocator, reconstruct
from manyview.commands._allocator import GROW, let_segments_grow


@pytest.fixture
def machine(monkeypatch):
    """Says which system and PyTorch there are; by default Linux and 2.13."""

    def become(system="linux", release="6.1.0-13-amd64", torch="2.13.0+cu130"):
        monkeypatch.setattr(_allocator.sys, "platform", system)
        monkeypatch.setattr(_allocator.platform, "release", lambda: release)
        monkeypatch.setattr(_allocator, "version", lambda name: torch)

    become()
    return become


def after(environment):
    let_segments_grow(environment)
    return environment


@pytest.mark.parametrize(
    ("torch", "name"),
    [
        ("2.7.1+cu128", "PYTORCH_CUDA_ALLOC_CONF"),
        ("2.9.0", "PYTORCH_ALLOC_CONF"),
        ("2.10.0", "PYTORCH_ALLOC_CONF"),
        ("2.15.0.dev20260831+cu132", "PYTORCH_ALLOC_CONF"),
        ("3.0", "PYTORCH_ALLOC_CONF"),
    ],
)
def test_the_name_that_this_pytorch_knows(machine, torch, name):
    machine(torch=torch)
    assert after({}) == {name: GROW}


@pytest.mark.parametrize(
    "kind",
    [
        {"system": "win32"},
        {"system": "darwin"},
        {"release": "6.18.33.2-microsoft-standard-WSL2"},
        {"release": "4.4.0-19041-Microsoft"},
        {"torch": "2.10.0+rocm7.0"},
        {"torch": "unknown"},
    ],
)
def test_nothing_where_it_is_not_known_to_work(machine, kind):
    machine(**kind)
    assert after({}) == {}


@pytest.mark.parametrize("name", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF"])
def test_what_the_user_set_stays(machine, name):
    assert after({name: "expandable_segments:False"}) == {name: "expandable_segments:False"}


def test_zero_gpu_is_left_alone(machine):
    assert after({"SPACES_ZERO_GPU": "true"}) == {"SPACES_ZERO_GPU": "true"}


def test_without_pytorch_nothing_is_set(machine, monkeypatch):
    def missing(name):
        raise _allocator.PackageNotFoundError(name)

    monkeypatch.setattr(_allocator, "version", missing)
    assert after({}) == {}


def test_it_is_said_before_a_command_runs(monkeypatch):
    order = []
    monkeypatch.setattr(commands, "let_segments_grow", lambda environment: order.append("allocator"))
    monkeypatch.setattr(reconstruct, "run", lambda arguments: order.append("command"))
    assert commands.main(["reconstruct", "photos"]) == commands.OK
    assert order == ["allocator", "command"]
