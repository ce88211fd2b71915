"""Rules for every source file that a linter does not know."""

import ast
import subprocess
from pathlib import Path

import pytest

TEXT = (".py", ".js", ".mjs", ".md", ".toml", ".txt", ".json", ".html", ".css")
SKIPPED = {"output", "build", "dist", "__pycache__"}
PRINTING = ("commands", "tests", "training", "evaluation", "benchmarks", "install.py")


@pytest.fixture(scope="module")
def sources(root: Path) -> list[Path]:
    """Text files of the checkout."""
    files = [file for file in root.rglob("*") if file.suffix in TEXT and file.is_file()]
    places = [(file, file.relative_to(root).parts) for file in files]
    return [file for file, parts in places if not SKIPPED & set(parts) and not parts[0].startswith(".")]


def test_sources_are_ascii(sources: list[Path]) -> None:
    # Some tools on Windows read sources as cp1252; plain ASCII is the same in every encoding.
    for file in sources:
        if file.suffix in (".py", ".js", ".mjs"):
            assert file.read_bytes().isascii(), file
        if "locales" not in file.parts:
            file.read_text(encoding="utf-8").encode("cp1252")


def test_no_assert_outside_tests(root: Path, sources: list[Path]) -> None:
    for file in python_files(root, sources):
        for node in ast.walk(ast.parse(file.read_text())):
            assert not isinstance(node, ast.Assert), f"{file}:{node.lineno}: raise ValueError with a sentence instead"


def test_print_only_in_programs(root: Path, sources: list[Path]) -> None:
    for file in python_files(root, sources):
        if file.relative_to(root).parts[0] in PRINTING:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            is_print = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            assert not is_print, f"{file}:{node.lineno}: print belongs into commands/"


def test_relative_imports_only(root: Path, sources: list[Path]) -> None:
    # Inside ComfyUI the package has another name, and names such as `nodes` belong to ComfyUI.
    ours = {"manyview", "commands", "demo", "evaluation", "models", "nodes", "scene", "texts", "training", "workflows"}
    for file in python_files(root, sources):
        if file.name == "__main__.py" or file.relative_to(root).parts[0] == "benchmarks":  # programs of their own
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            assert not ours & {name.split(".")[0] for name in names}, f"{file}:{node.lineno}"


def python_files(root: Path, sources: list[Path]) -> list[Path]:
    """Python files that are not tests."""
    return [file for file in sources if file.suffix == ".py" and file.relative_to(root).parts[0] != "tests"]


def test_tracked_files_stay_small(root: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    names = [name for name in listed.stdout.splitlines() if (root / name).exists()]
    large = [name for name in names if (root / name).stat().st_size > 1e6]
    assert set(large) <= {"models/mini/mini.safetensors", "training/checkpoints/worlds.safetensors"}
