"""The same command in several processes: what they are told, and how all of them end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from manyview import commands
from manyview.commands._ranks import among_ranks, check_devices, run_ranks
from manyview.scene.export import npz

WAITING = "import time\nif os.environ['RANK'] != '1': time.sleep(60)\n"


def ranks(code: str, count: int = 3) -> int:
    return run_ranks([sys.executable, "-c", f"import os, sys\n{code}"], count)


def test_each_is_told_its_place(tmp_path: Path) -> None:
    names = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"]
    code = f"import json; told = [os.environ[name] for name in {names}]\n"
    assert ranks(code + f"open(rf'{tmp_path}/' + told[0], 'w').write(json.dumps(told))") == 0
    told = [json.loads((tmp_path / str(rank)).read_text()) for rank in range(3)]
    assert [one[:5] for one in told] == [[str(rank), str(rank), "3", "3", "127.0.0.1"] for rank in range(3)]
    assert len({one[5] for one in told}) == 1
    assert not among_ranks()


def test_one_that_fails_ends_all_and_is_heard(capfd: pytest.CaptureFixture) -> None:
    started = time.monotonic()
    code = WAITING + "print('some noise', file=sys.stderr); print('error: no such thing', file=sys.stderr); sys.exit(2)"
    assert ranks(code) == 2
    assert time.monotonic() - started < 30
    assert capfd.readouterr().err == "error: no such thing\n"


def test_the_first_one_speaks_for_itself(capfd: pytest.CaptureFixture) -> None:
    assert ranks("print('error: everywhere', file=sys.stderr); sys.exit(2)") == 2
    assert capfd.readouterr().err == "error: everywhere\n"


def test_a_process_without_words(capfd: pytest.CaptureFixture) -> None:
    assert ranks(WAITING + "os._exit(7)") == 7
    assert "ended without a word" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_all(root: Path, tmp_path: Path, number: str) -> None:
    """SIGINT as Ctrl-C in a terminal, for every process of the group; SIGTERM for the one that was started."""
    code = f"import os, time; open(rf'{tmp_path}/' + str(os.getpid()), 'w'); time.sleep(60)"
    program = "import runpy, signal, sys\n"
    program += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # background jobs of a shell ignore it
    program += f"runpy.run_path({str(root / '__main__.py')!r}, run_name='manyview_registration')\n"
    program += f"from manyview.commands._ranks import run_ranks\nrun_ranks([sys.executable, '-c', {code!r}], 2)"
    command = [sys.executable, "-c", program]
    waiting = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    children = [int(file.name) for file in tmp_path.iterdir()]
    (os.killpg if number == "SIGINT" else os.kill)(waiting.pid, getattr(signal, number))
    said = waiting.communicate(timeout=30)[1]
    assert ("KeyboardInterrupt" in said) == (number == "SIGINT") and waiting.returncode != 0
    assert len(children) == 2
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


@pytest.mark.parametrize(
    ("gpus", "device", "message"),
    [(0, "cpu", "at least 1, got 0"), (-2, "auto", "at least 1"), (2, "cuda", "cuda"), (2, "cpu:0", "leave --device")],
)
def test_wrong_devices(gpus: int, device: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_devices(gpus, device)


def test_reconstruction_of_two_processes(
    tiny_model: Path, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    words = ["reconstruct", str(photos), "--model", str(tiny_model), "--formats", "npz", "--device", "cpu"]
    words += ["--method", "balanced", "--min-tokens", "0"]
    assert commands.main([*words, "--out", str(tmp_path / "two"), "--gpus", "2"]) == 0
    said = capfd.readouterr()
    assert said.out.count("3 frames of 112 x 84 pixels") == 1 and "error" not in said.err
    assert commands.main([*words, "--out", str(tmp_path / "one")]) == 0
    two, one = (npz.read_npz(tmp_path / name / "scene.npz") for name in ("two", "one"))
    assert two.settings == one.settings | {"processes": 2}
    assert two.names == one.names
    np.testing.assert_allclose(two.depth, one.depth, rtol=1e-4)
    np.testing.assert_allclose(two.world_to_camera, one.world_to_camera, atol=1e-4)
    np.testing.assert_array_equal(two.density, one.density)
    assert "gather" in two.timings and two.peak_memory_bytes > 1e7
