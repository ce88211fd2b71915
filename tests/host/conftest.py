"""A real ComfyUI with our folder in it, under an odd name.

    COMFYUI_DIR=/path/to/ComfyUI COMFYUI_PYTHON=/its/python pytest tests/host

COMFYUI_PYTHON is the Python that has ComfyUI's requirements; without it, the one that runs the tests.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

PACK = "My-Pack_2"  # ComfyUI itself serves no scripts to a name with a space, and no help to one with a dot
START_S, RUN_S = 180, 300


class ComfyUI:
    """A running server and its folders."""

    def __init__(self, base: Path, port: int, process: subprocess.Popen) -> None:
        self.base, self.port, self.process = base, port, process
        self.input, self.output, self.temp = (base / name for name in ("input", "output", "temp"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> Any:
        """JSON of a route."""
        with urllib.request.urlopen(self.url + path, timeout=RUN_S) as answer:
            return json.load(answer)

    def raw(self, path: str) -> bytes:
        """Bytes of a route."""
        with urllib.request.urlopen(self.url + path, timeout=RUN_S) as answer:
            return answer.read()

    def post(self, path: str, value: Any) -> Any:
        """JSON that a route answers; an error of the server is returned as well."""
        data = json.dumps(value).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=RUN_S) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        return json.loads(text) if text.strip() else None

    def queue(self, prompt: dict[str, Any], client: str | None = None) -> str:
        """Queue a graph in API form and return its id; AssertionError with the server's words if it is refused."""
        workflow = {"nodes": [], "links": [], "version": 0.4}
        body = {"prompt": prompt, "client_id": client or uuid.uuid4().hex, "prompt_id": str(uuid.uuid4())}
        answer = self.post("/prompt", {**body, "extra_data": {"extra_pnginfo": {"workflow": workflow}}})
        assert answer.get("prompt_id") and not answer.get("node_errors"), json.dumps(answer, indent=1)
        return answer["prompt_id"]

    def wait(self, prompt_id: str) -> "Run":
        """Wait until a queued graph is done, whichever way."""
        end = time.monotonic() + RUN_S
        while time.monotonic() < end:
            history = self.get(f"/history/{prompt_id}")
            if prompt_id in history and history[prompt_id].get("status", {}).get("status_str"):
                return Run(history[prompt_id])
            time.sleep(0.1)
        raise AssertionError(f"the graph was not done after {RUN_S} s")

    def run(self, prompt: dict[str, Any]) -> "Run":
        """Queue and wait."""
        return self.wait(self.queue(prompt))

    def file(self, entry: dict[str, str]) -> bytes:
        """What the page gets for a file that a node showed."""
        return self.raw(f"/view?{urllib.parse.urlencode(entry)}")


class Run:
    """What the history says of a graph."""

    def __init__(self, history: dict[str, Any]) -> None:
        self.outputs = history["outputs"]
        self.status = history["status"]["status_str"]
        self.messages = {name: value for name, value in history["status"]["messages"]}

    @property
    def cached(self) -> set[str]:
        """Ids of the nodes that did not run again."""
        return set(self.messages.get("execution_cached", {}).get("nodes", []))

    @property
    def error(self) -> str:
        """What a failed graph told the user."""
        return self.messages["execution_error"]["exception_message"]


@pytest.fixture
def open_page(chromium: Any, comfyui: ComfyUI) -> Iterator[Callable[..., Any]]:
    """A function that opens ComfyUI's page, of so many pixels; `before` gets it while it is still empty."""
    contexts = []

    def make(width: int, height: int, before: Callable[[Any], None] = lambda page: None) -> Any:
        contexts.append(chromium.new_context(viewport={"width": width, "height": height}))
        page = contexts[-1].new_page()
        page.set_default_timeout(120_000)
        before(page)
        page.goto(comfyui.url)
        page.wait_for_function("window.app?.extensionManager?.command?.commands?.length > 10")
        page.wait_for_timeout(3000)
        page.keyboard.press("Escape")  # the template browser that greets new users
        page.wait_for_timeout(500)
        return page

    yield make
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def saves() -> dict[str, str]:
    """Scripts that give the graph of the page as it would be saved, by schema."""
    return {
        "0.4": "async () => JSON.parse(JSON.stringify((await app.graphToPrompt()).workflow))",
        "1": "() => JSON.parse(JSON.stringify(app.graph.asSerialisable()))",
    }


@pytest.fixture(scope="session")
def comfyui_dir() -> Path:
    """The checkout to test in."""
    if "COMFYUI_DIR" not in os.environ:
        pytest.skip("COMFYUI_DIR does not point to a ComfyUI checkout")
    return Path(os.environ["COMFYUI_DIR"])


@pytest.fixture(scope="session")
def base(archive: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ComfyUI's base folder: what the registry serves of us, photos, a model with random weights."""
    base = tmp_path_factory.mktemp("comfyui")
    for name in ("custom_nodes", "input", "output", "temp", "user", "models/manyview"):
        (base / name).mkdir(parents=True)
    shutil.copytree(archive, base / "custom_nodes" / PACK)
    shutil.copytree(Path(__file__).parent / "breaking_pack", base / "custom_nodes" / "breaking_pack")
    shutil.copy(tiny_model, base / "models" / "manyview" / "tiny.safetensors")
    random = np.random.default_rng(0)
    for number, size in enumerate([(80, 60), (80, 60), (60, 80)]):
        picture = Image.fromarray(random.integers(0, 255, (20, 20, 3), dtype=np.uint8)).resize(size)
        (base / "input" / "photos").mkdir(exist_ok=True)
        picture.save(base / "input" / "photos" / f"photo_{number}.png")
        picture.save(base / "input" / f"single_{number}.png")
    (base / "input" / "empty").mkdir()
    (base / "input" / "broken").mkdir()
    (base / "input" / "broken" / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return base


@pytest.fixture(scope="session")
def comfyui(comfyui_dir: Path, base: Path) -> Iterator[ComfyUI]:
    """The server, started once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    options = ["--cpu", "--port", str(port), "--base-directory", str(base), "--disable-auto-launch"]
    options += ["--database-url", "sqlite:///:memory:"]
    with (base / "comfyui.log").open("w") as log:
        process = subprocess.Popen([python, "main.py", *options], cwd=comfyui_dir, stdout=log, stderr=log)
        server = ComfyUI(base, port, process)
        try:
            wait_for(server, base / "comfyui.log")
            yield server
        finally:
            process.terminate()
            process.wait(30)


def wait_for(server: ComfyUI, log: Path) -> None:
    """Wait until the server answers."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if server.process.poll() is not None:
            break
        try:
            server.get("/system_stats")
            return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"ComfyUI did not start:\n{log.read_text()[-4000:]}")


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """One node of a graph in API form."""
    return {"class_type": class_type, "inputs": inputs}


@pytest.fixture(scope="session")
def graph(comfyui: ComfyUI):
    """A function that makes a graph from folder to point cloud, with other inputs where they are named."""
    info = comfyui.get("/object_info")

    def make(**changes: dict[str, Any]) -> dict[str, Any]:
        nodes = {
            "model": node("ManyView_LoadModel", model="tiny.safetensors", precision="auto"),
            "images": node("ManyView_LoadImages", source="photos", resolution=112),
            "sparsity": node("ManyView_Sparsity", method="dense"),
            "scene": node("ManyView_Reconstruct", model=["model", 0], images=["images", 0], sparsity=["sparsity", 0]),
            "points": node("ManyView_PointCloud", scene=["scene", 0]),
            "export": node("ManyView_ExportPointCloud", scene=["scene", 0], points=["points", 0]),
        }
        for name, inputs in changes.items():
            nodes[name]["inputs"].update(inputs)
        return {name: with_defaults(each, info) for name, each in nodes.items()}

    return make


def with_defaults(each: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """A node with every widget that is not named at its default."""
    inputs = dict(each["inputs"])
    for name, (kind, *options) in info[each["class_type"]]["input"]["required"].items():
        options = options[0] if options else {}
        if name not in inputs and "default" in options:
            inputs[name] = options["default"]
        elif name not in inputs and kind == "COMFY_DYNAMICCOMBO_V3":
            inputs[name] = options["options"][0]["key"]
    return {**each, "inputs": inputs}
