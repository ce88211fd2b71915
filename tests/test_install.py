"""install.py: the report, the choice of torch, and that nothing is done twice."""

import ast
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def install(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """install.py as a module whose .venv is a temporary folder, and whose pip only notes what it is asked."""
    spec = importlib.util.spec_from_file_location("manyview_install", root / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.VENV = tmp_path / ".venv"
    module.VENV.mkdir()
    module.asked = []
    module.present = {"torch", "numpy", "venv", "ensurepip"}
    monkeypatch.setattr(module, "pip", lambda python, *arguments: module.asked.append(arguments) or 0)
    monkeypatch.setattr(module, "has_module", lambda python, name: name in module.present)
    return module


def test_report_changes_nothing(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "My Pack v1.2"
    folder.mkdir()
    shutil.copy(root / "install.py", folder)
    shown = subprocess.run([sys.executable, "install.py"], cwd=folder, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    for words in ("torch", "av", "Nothing was installed or changed", sys.executable):
        assert words in shown.stdout
    assert [path.name for path in folder.iterdir()] == ["install.py"]


def test_needs_only_the_standard_library(root: Path) -> None:
    tree = ast.parse((root / "install.py").read_text(), feature_version=(3, 6))  # an old Python must get its sentence
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
            assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_missing_venv_is_one_sentence(install, capsys: pytest.CaptureFixture) -> None:
    install.present -= {"ensurepip"}
    assert install.main(["demo"]) == 1
    error = capsys.readouterr().err
    assert "apt install python3." in error and "--here" in error and len(error.splitlines()) == 1
    assert not install.asked


def test_old_python_is_one_sentence(install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    assert install.main(["test"]) == 1
    assert "needs Python 3.10 or newer" in capsys.readouterr().err


def test_second_run_calls_no_pip(install, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "virtual_environment", lambda: Path(sys.executable))
    files = [root / "requirements.txt"]
    install.prepare(files)
    assert len(install.asked) == 1 and install.asked[0][:1] == ("-r",)
    install.prepare(files)
    assert len(install.asked) == 1
    install.prepare([*files, root / "tests" / "requirements.txt"])
    assert len(install.asked) == 2
    install.prepare(files)
    assert len(install.asked) == 2
    install.present -= {"numpy"}
    install.prepare(files)
    assert install.asked[2][0] == "numpy>=1.26"


def test_failed_pip_leaves_no_stamp(install, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "virtual_environment", lambda: Path(sys.executable))
    monkeypatch.setattr(install, "pip", lambda python, *arguments: 1)
    with pytest.raises(install.InstallError, match="pip failed"):
        install.prepare([root / "requirements.txt"])
    assert not any(install.VENV.iterdir())


@pytest.mark.parametrize(
    ("platform", "nvidia", "first"),
    [("linux", False, "torch==2.13.0+cpu"), ("linux", True, "torch==2.13.0"), ("darwin", False, "torch==2.13.0")],
)
def test_torch_that_fits(install, platform: str, nvidia: bool, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(install, "has_nvidia_gpu", lambda: nvidia)
    install.install_torch(Path("python"))
    assert install.asked == [(first,)]


def test_torch_falls_back_to_pytorchs_cpu_index(install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(install, "has_nvidia_gpu", lambda: False)
    monkeypatch.setattr(install, "pip", lambda python, *arguments: install.asked.append(arguments) or 1)
    with pytest.raises(install.InstallError, match="could not install torch"):
        install.install_torch(Path("python"))
    assert [install.TORCH_CPU_INDEX in arguments for arguments in install.asked] == [False, True, True]


@pytest.fixture
def no_browser(install, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A Debian without a browser, where commands are only noted."""
    commands = []
    monkeypatch.delenv("MANYVIEW_CHROMIUM", raising=False)
    monkeypatch.setattr(install.shutil, "which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(install.os, "geteuid", lambda: 0, raising=False)
    done = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(install.subprocess, "run", lambda command, **options: commands.append(command) or done)
    return commands


def test_root_gets_a_browser(install, no_browser: list[list[str]], capsys: pytest.CaptureFixture) -> None:
    install.get_browser()
    assert [command[1] for command in no_browser] == ["update", "install"] and no_browser[1][-1] == "chromium"
    assert "skipped" not in capsys.readouterr().out


def test_others_are_told_about_the_browser(
    install, no_browser: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000, raising=False)
    install.get_browser()
    assert not no_browser and "MANYVIEW_CHROMIUM" in capsys.readouterr().out


def test_a_failing_apt_is_no_failure(
    install, no_browser: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    failed = subprocess.CompletedProcess([], 100)
    monkeypatch.setattr(install.subprocess, "run", lambda command, **options: no_browser.append(command) or failed)
    install.get_browser()
    shown = capsys.readouterr().out
    assert len(no_browser) == 1 and "could not install" in shown and "skipped" in shown


def test_a_browser_is_looked_for_by_the_names_the_tests_know(
    install, no_browser: list[list[str]], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = ast.parse((root / "tests" / "browser.py").read_text())
    names = next(node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "NAMES")
    assert ast.literal_eval(names) == install.BROWSERS
    monkeypatch.setattr(install.shutil, "which", lambda name: "/usr/bin/x" if name == "msedge" else None)
    install.get_browser()
    assert not no_browser


def test_kernels_that_are_here(install, capsys: pytest.CaptureFixture) -> None:
    assert install.main(["kernels"]) == 0
    shown = capsys.readouterr().out
    assert "PyTorch" in shown and "block_sparse_attn" in shown and not install.asked
    assert "nothing to add" in shown or "pip install" in shown


@pytest.mark.parametrize("present", [True, False])
def test_kernels_for_a_gpu(
    install, present: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def output_of(command: list[str]) -> str | None:
        if command[-1] == install.TORCH_FACTS:
            return "2.11.0+cu130 13.0 90 True cp312 NVIDIA_H100"
        if command[-1].endswith(install.TRY_TRITON):
            return "yes\n" if present else None
        return "" if present or command[-1].endswith("triton") else None

    monkeypatch.setattr(install, "output_of", output_of)
    assert install.main(["kernels"]) == 0
    shown = capsys.readouterr().out
    assert "NVIDIA H100 (sm_90)" in shown
    assert f"runs a kernel here: {'yes' if present else 'no, it fails'}\n" in shown
    assert ("flash-attn-4[cu13]" in shown) != present
    assert ("+cu13torch2.11cxx11abiTRUE-cp312-cp312-" in shown) != present
    assert ('BLOCK_SPARSE_ATTN_CUDA_ARCHS to "90"' in shown) != present


def test_kernels_without_torch(install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(install, "output_of", lambda command: None)
    assert install.main(["kernels"]) == 1
    assert "PyTorch does not import" in capsys.readouterr().out
