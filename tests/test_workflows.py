"""The example workflows: what they are made of, without ComfyUI."""

import json
import runpy
from pathlib import Path

import pytest

NAMES = sorted(path.stem for path in (Path(__file__).resolve().parents[1] / "example_workflows").glob("*.json"))
PAGE_ONLY = {"MarkdownNote"}


@pytest.fixture(scope="module")
def maker(root: Path, shared: Path) -> dict:
    """tests/make_workflows.py, which needs the definitions of core nodes in the shared folder."""
    return runpy.run_path(str(root / "tests" / "make_workflows.py"), run_name="maker")


@pytest.fixture(scope="module")
def info(maker: dict) -> dict:
    return maker["definitions"]()


def read(root: Path, name: str) -> dict:
    return json.loads((root / "example_workflows" / f"{name}.json").read_text(encoding="utf-8"))


def test_files_are_what_the_program_makes(maker: dict) -> None:
    for path, value in maker["files"]().items():
        assert path.read_text(encoding="utf-8") == maker["text"](value), f"{path.name} is old: tests/make_workflows.py"
    assert set(NAMES) == set(maker["WORKFLOWS"])


@pytest.mark.parametrize("name", NAMES)
def test_every_node_input_and_link_exists(root: Path, info: dict, name: str) -> None:
    workflow = read(root, name)
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert len(nodes) == len(workflow["nodes"])
    for node in nodes.values():
        if node["type"] in PAGE_ONLY:
            continue
        about = info[node["type"]]
        known = {entry for part in about["input"].values() for entry in part}
        assert {each["name"].partition(".")[0] for each in node["inputs"]} == known - {"prompt", "extra_pnginfo"}
        assert [each["type"] for each in node["outputs"]] == about["output"]
    for number, origin, slot, target, place, kind in workflow["links"]:
        assert number in nodes[origin]["outputs"][slot]["links"] and nodes[origin]["outputs"][slot]["type"] == kind
        end = nodes[target]["inputs"][place]
        assert end["link"] == number and (kind in end["type"].split(",") or end["type"] == "*")


@pytest.mark.parametrize("name", NAMES)
def test_every_value_is_allowed(maker: dict, info: dict, name: str) -> None:
    for node in maker["prompts"]()[name].values():
        for part in ("required", "optional"):
            check(info[node["class_type"]]["input"].get(part, {}), node["inputs"], "", part == "required")


def check(inputs: dict, given: dict, prefix: str, required: bool) -> None:
    """Values of widgets lie in their ranges and choices; nothing that is required is missing."""
    for key, (kind, *options) in inputs.items():
        name, about = prefix + key, options[0] if options else {}
        assert name in given or not required, name
        value = given.get(name)
        if value is None or isinstance(value, list):
            continue
        choices = kind if isinstance(kind, list) else about.get("options")
        if kind == "COMFY_DYNAMICCOMBO_V3":
            option = next(each for each in choices if each["key"] == value)
            check(option["inputs"].get("required", {}), given, f"{name}.", True)
        elif choices and not value.endswith(".safetensors"):
            assert value in choices, (name, value)
        elif kind in ("INT", "FLOAT"):
            assert about["min"] <= value <= about["max"], (name, value)


@pytest.mark.parametrize("name", NAMES)
def test_missing_nodes_and_models_can_be_found(root: Path, name: str) -> None:
    workflow = read(root, name)
    for node in workflow["nodes"]:
        if node["type"].startswith("ManyView_"):
            assert node["properties"]["cnr_id"] == "manyview"
            assert node["properties"]["ver"] == "0.1.0" and node["properties"]["Node name for S&R"] == node["type"]
        for model in node["properties"].get("models", []):
            assert model["directory"] == "manyview" and model["url"].startswith("https://huggingface.co/")
    assert sum(node["type"] == "MarkdownNote" for node in workflow["nodes"]) == 1


@pytest.mark.parametrize("name", NAMES)
def test_nodes_do_not_lie_on_each_other(root: Path, name: str) -> None:
    boxes = [(*node["pos"], *node["size"]) for node in read(root, name)["nodes"]]
    for index, (left, top, width, height) in enumerate(boxes):
        for x, y, w, h in boxes[index + 1 :]:
            apart = x >= left + width or left >= x + w or y - 30 >= top + height or top - 30 >= y + h
            assert apart, (name, (left, top), (x, y))


@pytest.mark.parametrize("name", NAMES)
def test_thumbnail(root: Path, name: str) -> None:
    from PIL import Image

    with Image.open(root / "example_workflows" / f"{name}.jpg") as picture:
        assert min(picture.size) >= 300 and picture.size[0] == picture.size[1]
    assert (root / "example_workflows" / f"{name}.jpg").stat().st_size < 150_000


def test_weights_of_the_templates_are_those_of_the_catalog(maker: dict) -> None:
    from manyview.models.catalog import CHECKPOINTS

    assert (
        maker["VGGT"]["url"].partition("huggingface.co")[2] == CHECKPOINTS["vggt-1b"].url.partition("huggingface.co")[2]
    )
    assert maker["VGGT"]["name"] == "vggt-1b.safetensors"


def test_every_node_is_in_some_workflow(maker: dict) -> None:
    used = {node["class_type"] for prompt in maker["prompts"]().values() for node in prompt.values()}
    ours = {name for name in maker["definitions"]() if name.startswith("ManyView_")}
    assert ours - used == {"ManyView_DepthMaps", "ManyView_Cameras", "ManyView_SetScale", "ManyView_LoadScene"}
