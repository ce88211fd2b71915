"""The package as people use it from Python: names at its top, help, arrays, short names, notebooks."""

import base64
import inspect
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import manyview
from manyview.nodes import parameters

FUNCTIONS = ("load_model", "load_images", "sparsity", "reconstruct", "point_cloud", "set_scale", "export")


@pytest.fixture(scope="module")
def model(tiny_model: Path):
    return manyview.load_model(str(tiny_model))


@pytest.fixture(scope="module")
def arrays() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    small = [random.integers(0, 255, (12, 16, 3), dtype=np.uint8) for _ in range(3)]
    return [np.asarray(Image.fromarray(each).resize((112, 84))) for each in small]


@pytest.fixture(scope="module")
def scene(model, arrays: list[np.ndarray]):
    return manyview.reconstruct(model, arrays)


def test_readme(root: Path, tmp_path: Path) -> None:
    """The code of README.md runs as it stands there."""
    code = re.search(r"```python\n(.*?)```", (root / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    shutil.copytree(root / "sample", tmp_path / "sample")
    start = f"import runpy; runpy.run_path({str(root / '__main__.py')!r}, run_name='registration')\n"
    command = [sys.executable, "-W", "error", "-c", start + code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "result" / "points.ply").stat().st_size > 1000
    lines = done.stdout.splitlines()
    assert lines[0] == manyview.__version__
    assert lines[1].startswith("LoadedModel('mini', vggt, 30.8 million parameters")
    assert lines[2] == "Reconstruction(4 views of 224 x 168 px by mini, points from depth)"


def test_importing_imports_nothing(root: Path) -> None:
    code = (
        "import runpy, sys; before = set(sys.modules)\n"
        "runpy.run_path('__main__.py', run_name='x')\n"
        "import manyview\n"
        "assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)\n"
        "assert 'reconstruct' in dir(manyview) and not hasattr(manyview, 'NODE_CLASS_MAPPINGS')\n"
        "manyview.__version__\n"
        "assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)\n"
        "manyview.read_npz\n"
        "print(sorted(name for name in sys.modules if name.startswith('manyview.models.vggt')))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == "[]"


def test_every_name_is_there() -> None:
    for name in manyview.__all__:
        assert getattr(manyview, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'reconstrukt'"):
        manyview.reconstrukt  # noqa: B018
    stated = {name for name in inspect.getsource(manyview).split("WEB_DIRECTORY")[0].replace(",", " ").split()}
    assert set(manyview.__all__) <= stated, "names for type checkers"


def test_version_is_that_of_the_project(root: Path) -> None:
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{manyview.__version__}"\n' in text
    assert '"py.typed"' in text and (root / "py.typed").exists()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_lists_options_with_defaults(name: str) -> None:
    text = inspect.getdoc(getattr(manyview, name))
    for one in parameters.TABLES[name]:
        assert f"    {one.name} (default {one.default!r}" in text
        assert one.tooltip.split()[0] in text
    assert max(map(len, text.splitlines())) <= 130


def as_given(arrays: list[np.ndarray], kind: str):
    """The same pictures, held in another way."""
    if kind == "list":
        return arrays
    if kind == "batch":
        return np.stack(arrays)
    if kind == "float":
        return [each.astype(np.float32) / 255 for each in arrays]
    if kind == "tensors":
        return [torch.from_numpy(each.copy()) for each in arrays]
    if kind == "float tensor":
        return torch.from_numpy(np.stack(arrays)).float() / 255
    return [Image.fromarray(each) for each in arrays]


@pytest.mark.parametrize("kind", ["list", "batch", "float", "tensors", "float tensor", "pillow"])
def test_pictures_in_memory(model, arrays: list[np.ndarray], kind: str) -> None:
    views = manyview.load_images(as_given(arrays, kind), model=model)
    assert views.images.shape == (3, 84, 112, 3)
    np.testing.assert_array_equal(views.images, np.stack(arrays))


def test_one_picture_and_a_choice_of_them(model, arrays: list[np.ndarray]) -> None:
    assert len(manyview.load_images(arrays[0], model=model)) == 1
    masks = [np.arange(112) + np.zeros((84, 1)) >= 40 * number for number in range(3)]
    views = manyview.load_images(arrays, model=model, start=1, limit=1, masks=masks)
    assert views.names == ("image_0002.png",) and views.masks[0, 0].tolist() == [False] * 40 + [True] * 72
    np.testing.assert_array_equal(views.images[0], arrays[1])


def test_pillow_images_are_taken_as_they_are_shown(model) -> None:
    palette = Image.new("P", (112, 84), 1)
    palette.putpalette([0, 0, 0, 200, 100, 50])
    turned = Image.new("RGB", (84, 112), (10, 20, 30))
    turned.getexif()[0x0112] = 6
    deep = Image.fromarray(np.full((84, 112), 40_000, dtype=np.uint16))
    views = manyview.load_images([palette, turned, deep], model=model)
    assert views.images.shape == (3, 84, 112, 3)
    assert views.images[:, 0, 0].tolist() == [[200, 100, 50], [10, 20, 30], [156] * 3]


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (None, {}, "arrays (height, width, 3), got NoneType"),
        (3, {}, "got int"),
        (["a.jpg", np.zeros((84, 112, 3))], {}, "either files or arrays"),
        (np.zeros((3, 84, 112)), {}, "move the channels to the end"),
        (np.full((84, 112, 3), 300), {}, "give floats from 0 to 1 or uint8"),
        (np.full((84, 112, 3), np.nan), {}, "not finite"),
        (np.zeros((2, 84, 112, 3)), {"start": 2}, "only 2 images"),
        (np.zeros((84, 112, 3)), {"order": "time"}, "leave them out for images in memory"),
        (np.zeros((84, 112, 3)), {"frame_rate": 2.0}, "leave them out for images in memory"),
        (np.zeros((84, 112, 3)), {"masks": "masks"}, "give an array for each"),
        (np.zeros((84, 112, 3)), {"masks": []}, "0 masks were given for 1 images"),
        ([], {}, "list of images is empty"),
    ],
)
def test_wrong_sources_are_one_sentence(model, source, options: dict, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        manyview.load_images(source, model=model, **options)
    assert words in str(caught.value)


def test_export_takes_a_name_and_one_format(scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cloud = manyview.point_cloud(scene)
    assert manyview.export(scene, cloud, "result", "ply") == [Path("result") / "points.ply"]
    with pytest.raises(ValueError, match="formats must be some of"):
        manyview.export(scene, cloud, "other", "plyy")


def test_reconstruct_takes_a_folder(model, photos: Path) -> None:
    assert manyview.reconstruct(model, photos).names == ("photo_0.jpg", "photo_1.jpg", "photo_2.jpg")


def test_short_names_in_an_interpreter(model, scene) -> None:
    cloud = manyview.point_cloud(scene)
    assert repr(scene) == "Reconstruction(3 views of 112 x 84 px by tiny.safetensors, points from depth)"
    assert repr(cloud) == f"PointCloud({len(cloud):,} points of 3 views)"
    assert repr(manyview.load_images(np.zeros((84, 112, 3)), model=model)) == "ImageSet(1 views of 112 x 84 px)"
    assert len(repr(model)) < 120


def test_notebooks_show_pictures_and_numbers(model, scene, arrays: list[np.ndarray]) -> None:
    cloud = manyview.point_cloud(scene)
    shown = (
        (manyview.load_images(arrays, model=model), 3, "<td>3</td>"),
        (scene, 3, "<th>model</th><td>tiny.safetensors</td>"),
        (cloud, 1, f"<td>{len(cloud):,}</td>"),
        (cloud.take(np.arange(0)), 0, "<td>0</td>"),
    )
    for value, pictures, words in shown:
        text = value._repr_html_()
        found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
        assert len(found) == pictures and text.count("<img") == pictures
        for each in found:
            Image.open(io.BytesIO(base64.b64decode(each))).load()
        assert words in text.replace(' style="text-align:left"', "")
        assert "http" not in text and "<script" not in text
    assert len(scene._repr_html_()) < 200_000
