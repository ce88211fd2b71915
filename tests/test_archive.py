"""What the ComfyUI registry would serve: small, complete, and without anything that its scanners report."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# What reviews of published packs say the scanner reports, whatever the code is for.
NETWORK = {"urllib", "urllib3", "requests", "socket", "http", "httpx", "aiohttp", "ftplib", "smtplib", "websockets"}
PROCESSES = {"subprocess", "pty", "multiprocessing", "shlex"}
LOADERS = {"pickle", "marshal", "dill", "cloudpickle", "shelve"}
CALLS = {"eval", "exec", "compile", "__import__"}
OS_CALLS = {
    "system",
    "popen",
    "execv",
    "execve",
    "execvp",
    "spawnv",
    "spawnl",
    "fork",
    "startfile",
    "putenv",
    "environ",
}
SCRIPT = re.compile(
    r"\beval\(|new Function\(|\.connect\(|document\.write\(|XMLHttpRequest|WebSocket"
    r"""|(fetch|import|from|src|href|url)\s*[(=]?\s*["'`]?https?://(?!www\.w3\.org)"""  # nothing from elsewhere
)
MOST_BYTES = 100_000_000


@pytest.fixture(scope="module")
def sources(archive: Path) -> list[Path]:
    return sorted(archive.rglob("*.py"))


def test_holds_what_runs_and_nothing_else(archive: Path) -> None:
    top = {path.name for path in archive.iterdir()}
    assert top >= {"__init__.py", "LICENSE", "NOTICE", "README.md", "models", "nodes", "scene", "web", "pyproject.toml"}
    assert top >= {"example_workflows", "locales", "subgraphs", "requirements.txt", "sample"}
    assert not top & {"tests", "training", "commands", "evaluation", "benchmarks", "demo", "workflows"}
    assert not top & {"install.py", "__main__.py", ".ci"}
    assert (archive / "models" / "mini" / "mini.safetensors").exists()
    assert sum(path.stat().st_size for path in archive.rglob("*") if path.is_file()) < MOST_BYTES


def test_no_network_processes_or_unpickling(sources: list[Path]) -> None:
    for file in sources:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            found = {name.split(".")[0] for name in names} & (NETWORK | PROCESSES | LOADERS)
            assert not found, f"{file}:{node.lineno} imports {found}"


def test_no_code_from_text_and_no_environment(sources: list[Path]) -> None:
    for file in sources:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in CALLS, f"{file}:{node.lineno} calls {node.func.id}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
                assert node.attr not in OS_CALLS, f"{file}:{node.lineno} uses os.{node.attr}"


def test_weights_are_loaded_as_weights_only(sources: list[Path]) -> None:
    for file in sources:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert any(each.arg == "weights_only" and each.value.value is True for each in node.keywords), file


def test_removes_only_what_it_made(sources: list[Path]) -> None:
    text = {file.name: file.read_text() for file in sources}
    assert sorted(name for name, code in text.items() if "rmtree" in code) == ["atomic.py", "claim.py"]
    assert [name for name, code in text.items() if re.search(r"os\.remove|os\.unlink|os\.rmdir", code)] == []
    # a folder that turned out to be empty: rmdir refuses any other
    assert sorted(name for name, code in text.items() if ".rmdir()" in code) == ["claim.py", "host.py"]


def test_scripts_are_readable_and_stay_here(archive: Path) -> None:
    for file in [path for path in archive.rglob("*") if path.suffix in (".js", ".mjs", ".html")]:
        text = file.read_text()
        assert not SCRIPT.search(text), (file, SCRIPT.search(text))
        assert max(map(len, text.splitlines())) < 400, f"{file} looks like the output of a bundler"


def test_only_the_scripts_of_comfyuis_page_load_by_themselves(archive: Path) -> None:
    text = (archive / "web" / "manyview.js").read_text()
    scripts = {path.relative_to(archive / "web").as_posix() for path in (archive / "web").rglob("*.js")}
    names = "apply manyview picker preview results templates text_box upload words"
    assert scripts == {f"{name}.js" for name in names.split()}
    assert text.count("registerExtension") == 1


def test_loads_without_what_was_left_out(archive: Path, tmp_path: Path, root: Path) -> None:
    shutil.copytree(root / "tests" / "nodes" / "stand_in", tmp_path, dirs_exist_ok=True)
    loader = (root / "tests" / "test_packaging.py").read_text().partition('LOADER = """')[2].partition('"""')[0]
    (tmp_path / "nodes.py").write_text("FAKE = True\n")
    command = [sys.executable, "-W", "error", "-c", loader, str(archive), str(tmp_path)]
    loaded = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert loaded.returncode == 0, loaded.stderr
    from manyview.nodes.graph.table import NODES

    assert set(loaded.stdout.split()) == set(NODES)


@pytest.mark.parametrize("absent", ["cv2", "gradio", "av", "huggingface_hub", "triton", "safetensors"])
def test_loads_without_libraries_that_only_some_need(archive: Path, tmp_path: Path, root: Path, absent: str) -> None:
    shutil.copytree(root / "tests" / "nodes" / "stand_in", tmp_path, dirs_exist_ok=True)
    code = f"import sys; sys.modules[{absent!r}] = None; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "import importlib.util as u, asyncio\n"
    code += f"spec = u.spec_from_file_location('pack', {str(archive / '__init__.py')!r})\n"
    code += "pack = u.module_from_spec(spec); sys.modules['pack'] = pack; spec.loader.exec_module(pack)\n"
    code += "print(len(asyncio.run(asyncio.run(pack.comfy_entrypoint()).get_node_list())))"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr


def test_descriptions_are_those_of_the_schemas(archive: Path) -> None:
    names = set(json.loads((archive / "nodes" / "object_info.json").read_text()))
    assert {path.stem for path in (archive / "web" / "docs").glob("*.md")} == names
