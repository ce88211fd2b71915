"""What the work of a visitor may write."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from manyview.demo import host as module
from manyview.demo.host import SessionHost, bytes_below
from manyview.demo.jobs import Job


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionHost:
    monkeypatch.setattr(module, "LOOK_S", 0)
    found = SessionHost(tmp_path / "base", tmp_path / "models", torch.device("cpu"), most_disk_bytes=1000)
    found.job = Job(lambda job: None)
    return found


def test_files_of_a_visitor_are_bounded(host: SessionHost) -> None:
    (host.input_folder / "a.jpg").write_bytes(bytes(900))
    os.link(host.input_folder / "a.jpg", host.input_folder / "the same.jpg")
    assert bytes_below(host.base) == 900
    host.check_cancelled()
    (host.output_folder / "x.ply").write_bytes(bytes(200))
    for go_on in (host.check_cancelled, lambda: host.progress("write", 0, 1)):
        with pytest.raises(ValueError, match=r"at most 1e-06 GB can be used here"):
            go_on()


def test_a_full_disk_stops_work(host: SessionHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
    with pytest.raises(ValueError, match="disk of this demo is nearly full"):
        host.check_cancelled()
    host.job = None
    host.check_cancelled()
