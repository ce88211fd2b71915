"""The checkout works under any folder name, in ComfyUI's loader and as an installed package."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("commands", "demo", "evaluation", "models", "nodes", "scene", "texts", "training", "workflows")
LEFT_OUT = (".*", "output", "__pycache__", "tests")

# What ComfyUI's loader does with a custom node folder, after putting its own folder first on the path.
LOADER = """
import asyncio, importlib.util, os, sys
module_path, fake_comfyui = sys.argv[1:]
sys.path.insert(0, fake_comfyui)
import nodes
name = module_path.replace(".", "_x_")
spec = importlib.util.spec_from_file_location(name, os.path.join(module_path, "__init__.py"))
module = importlib.util.module_from_spec(spec)
sys.modules[name] = module
spec.loader.exec_module(module)
assert "torch" not in sys.modules and not hasattr(module, "NODE_CLASS_MAPPINGS")
assert os.path.isdir(os.path.join(module_path, module.WEB_DIRECTORY))
extension = asyncio.run(module.comfy_entrypoint())
asyncio.run(extension.on_load())
for node in asyncio.run(extension.get_node_list()):
    print(node.define_schema().node_id)
assert nodes.FAKE and sys.modules["nodes"] is nodes
assert not any(os.path.realpath(entry) == os.path.realpath(module_path) for entry in sys.path)
"""


@pytest.fixture(scope="module")
def renamed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in a folder whose name is no identifier."""
    target = tmp_path_factory.mktemp("custom_nodes") / "My Pack v1.2"
    shutil.copytree(root, target, ignore=shutil.ignore_patterns(*LEFT_OUT, "*.safetensors"))
    return target


def python(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run this Python without user settings that could change what it imports."""
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_runs_under_any_folder_name(renamed: Path) -> None:
    for start in (python(renamed, "--help"), python(".", "--help", cwd=renamed)):
        assert start.returncode == 0, start.stderr
        assert "reconstruct" in start.stdout


def test_program_keeps_the_folder_off_the_path(renamed: Path) -> None:
    code = (
        "import runpy, sys; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_path({str(renamed)!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        f"import manyview.nodes; print(manyview.__file__); print({str(renamed)!r} in sys.path)"
    )
    lines = python("-c", code).stdout.splitlines()
    assert Path(lines[-2]) == renamed / "__init__.py"
    assert lines[-1] == "False"


def test_root_imports_no_torch(renamed: Path) -> None:
    code = "import runpy, sys; runpy.run_path('__main__.py', run_name='x'); import manyview.nodes; "
    code += "import manyview; print('torch' in sys.modules)"
    assert python("-c", code, cwd=renamed).stdout.split() == ["False"]


def test_comfyui_loader(renamed: Path, tmp_path: Path, root: Path) -> None:
    (tmp_path / "nodes.py").write_text("FAKE = True\n")
    shutil.copytree(root / "tests" / "nodes" / "stand_in", tmp_path, dirs_exist_ok=True)
    loaded = python("-c", LOADER, renamed, tmp_path, cwd=tmp_path)  # the stand-in makes its folders there
    assert loaded.returncode == 0, loaded.stderr
    assert "ManyView_Reconstruct" in loaded.stdout.split()


def test_package_list_equals_the_folders(root: Path) -> None:
    text = (root / "pyproject.toml").read_text()
    listed = re.search(r"^packages = \[(.*?)\]", text, re.DOTALL | re.MULTILINE).group(1)
    found = {"manyview"}
    for package in PACKAGES:
        for file in (root / package).rglob("*.py"):
            found.add(".".join(("manyview", *file.parent.relative_to(root).parts)))
    assert set(json.loads(f"[{listed.strip().rstrip(',')}]")) == found
    for name in found - {"manyview"}:
        assert (root / Path(*name.split(".")[1:]) / "__init__.py").exists(), f"{name} lacks __init__.py"


def test_no_other_top_level_package(root: Path) -> None:
    found = {file.parent.relative_to(root).parts[0] for file in root.glob("*/**/*.py") if is_source(file, root)}
    assert found <= {*PACKAGES, "tests", "benchmarks"}


def is_source(file: Path, root: Path) -> bool:
    """False for caches, outputs and environments."""
    parts = file.relative_to(root).parts
    return not parts[0].startswith(".") and not set(parts) & {*LEFT_OUT, "build", "dist"} - {"tests"}


def test_versions_agree(root: Path) -> None:
    version = re.search(r'^version = "(.+?)"', (root / "pyproject.toml").read_text(), re.MULTILINE).group(1)
    assert f"## {version}" in (root / "CHANGELOG.md").read_text()


def test_requirements_pin_nothing_of_comfyui(root: Path) -> None:
    lines = (root / "requirements.txt").read_text().splitlines()
    names = [re.split(r"[<>=!~\[ ]", line)[0].lower() for line in lines if line and not line.startswith("#")]
    assert not {"torch", "torchvision", "torchaudio", "numpy", "opencv-python", "opencv-python-headless"} & set(names)
    assert all("<" not in line and "==" not in line for line in lines if not line.startswith("#"))
