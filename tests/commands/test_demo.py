"""The command that serves the demo: its options, its address, its end."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from manyview import commands
from manyview.commands import demo


def test_names_and_passwords() -> None:
    assert demo.name_and_password("ann:a:b") == ("ann", "a:b")
    for text in ("ann", "ann:", ":secret", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="NAME:PASSWORD"):
            demo.name_and_password(text)


def test_positive() -> None:
    assert demo.positive("12") == 12
    for text in ("0", "-1", "x", "1.5", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="1 or more"):
            demo.positive(text)


def test_ports() -> None:
    assert demo.port_number("7860") == 7860
    for text in ("0", "-5", "65536", "99999999", "x", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="a port from 1 to 65535"):
            demo.port_number(text)


def test_an_address_is_tried_before_anything_is_imported(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert commands.main(["demo", "--port", port]) == commands.BAD_INPUT
        assert f"error: port {port} is used by another program; choose another with --port" in capsys.readouterr().err
    assert commands.main(["demo", "--host", "203.0.113.7"]) == commands.BAD_INPUT
    assert "--host 203.0.113.7 is not an address of this computer" in capsys.readouterr().err
    assert commands.main(["demo", "--host", "no host\0"]) == commands.BAD_INPUT
    assert "is no address" in capsys.readouterr().err
    monkeypatch.setenv("MANYVIEW_AUTH", "ann")
    assert commands.main(["demo"]) == commands.BAD_INPUT
    assert "MANYVIEW_AUTH must have the form NAME:PASSWORD." in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of other systems")
def test_a_password_is_asked_for_and_files_go_at_the_end(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    environment = {**os.environ, "TMPDIR": str(tmp_path), "MANYVIEW_AUTH": "ann:secret"}
    command = [sys.executable, str(root), "demo", "--device", "cpu"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        url = next(line for line in process.stdout if "ManyView is at" in line).split()[-1]
        assert url.startswith("http://127.0.0.1:") and list(tmp_path.glob("manyview_demo_*"))
        try:
            closed = ("config", "gradio_api/info", "gradio_api/mcp/schema", "manyview/viewer.html")
            closed += ("manyview/..%2fpyproject.toml", "manyview/files/x/output/a.ply")
            assert {path: status(url + path) for path in closed} == dict.fromkeys(closed, 401)
        finally:  # else leaving the block would wait for it for ever
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    assert process.returncode == 130 and not list(tmp_path.glob("manyview_demo_*"))


def status(url: str) -> int:
    """The status of an answer."""
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
