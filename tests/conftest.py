"""Registers the checkout as the package `manyview` and offers what several tests need."""

import importlib.util
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

# Without a GPU the kernels run through Triton's interpreter, which has to be said before anything imports Triton.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

ROOT = Path(__file__).resolve().parents[1]
UNTRACKED = ["--cached", "--others", "--exclude-standard"]  # what is about to be committed counts as well
ARCHIVE = (UNTRACKED, ["--cached", "--others", "--ignored", "--exclude-from=.comfyignore"])
runpy.run_path(str(ROOT / "__main__.py"), run_name="manyview_registration")

_spec = importlib.util.spec_from_file_location("manyview_tests_browser", ROOT / "tests" / "browser.py")
_browser = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_browser)
chromium, log, visit, serve = _browser.chromium, _browser.log, _browser.visit, _browser.serve


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz-cases", type=int, default=40, help="mutated inputs for each fuzz test (a campaign takes thousands)"
    )


@pytest.fixture(scope="session")
def fuzz_cases(request: pytest.FixtureRequest) -> int:
    """How many mutated inputs each test in tests/fuzz makes."""
    return request.config.getoption("--fuzz-cases")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the ComfyUI registry serves: the files under version control without those that .comfyignore names.

    The folder's name is no identifier, as a user's may be.
    """
    listed = [subprocess.run(["git", "ls-files", *more], cwd=ROOT, capture_output=True, text=True) for more in ARCHIVE]
    if listed[0].returncode:
        pytest.skip("not a git checkout")
    names = set(listed[0].stdout.splitlines()) - set(listed[1].stdout.splitlines())
    target = tmp_path_factory.mktemp("custom_nodes") / "My-Pack_2"
    for name in sorted(names):
        if (ROOT / name).exists():  # not one that is being removed
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data that lies beside the checkout while developing."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"the reference data folder {folder} is not here")
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved VGGT with random weights, small enough to run in a blink."""
    import torch

    from manyview.models.camera_head import CameraHeadConfig
    from manyview.models.checkpoints import save_model
    from manyview.models.dense_head import DenseHeadConfig
    from manyview.models.dinov2 import EncoderConfig
    from manyview.models.vggt import VGGT, VGGTConfig

    config = VGGTConfig(
        encoder=EncoderConfig(width=64, depth=1, heads=2, image_size=112),
        depth=4,
        heads=2,
        kept_layers=(0, 1, 2, 3),
        camera=CameraHeadConfig(trunk_depth=1, heads=2),
        dense=DenseHeadConfig(features=16, channels=(8, 16, 32, 32)),
        track=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return save_model(VGGT(config), tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture(scope="session")
def tiny_pi3_config():
    """A Pi3 small enough to run in a blink."""
    from manyview.models.dinov2 import EncoderConfig
    from manyview.models.pi3 import Pi3Config

    encoder = EncoderConfig(width=64, depth=1, heads=2, image_size=112)
    return Pi3Config(encoder=encoder, depth=2, heads=2, head_width=32, head_heads=2, head_depth=1, camera_width=32)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three pictures, one of them upright."""
    import numpy as np
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number, (height, width) in enumerate([(60, 80), (60, 80), (80, 60)]):
        picture = Image.fromarray(random.integers(0, 255, (height // 4, width // 4, 3), dtype=np.uint8))
        picture.resize((width, height)).save(folder / f"photo_{number}.jpg")
    return folder
