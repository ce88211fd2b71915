"""Every example workflow runs in a real ComfyUI as it is."""

import json
import runpy
from pathlib import Path
from urllib.parse import quote

import pytest

HERE = Path(__file__).resolve().parents[1]
NAMES = sorted(path.stem for path in (HERE.parent / "example_workflows").glob("*.json"))


@pytest.fixture(scope="module")
def maker(shared) -> dict:
    return runpy.run_path(str(HERE / "make_workflows.py"), run_name="maker")


@pytest.mark.parametrize("name", NAMES)
def test_runs(comfyui, maker: dict, name: str) -> None:
    prompt = maker["prompts"]()[name]
    if name in maker["NEEDS_DOWNLOAD"]:
        answer = comfyui.post("/prompt", {"prompt": prompt})
        errors = [error for node in answer["node_errors"].values() for error in node["errors"]]
        assert [error["type"] for error in errors] == ["value_not_in_list"]  # the page offers the download
        return
    run = comfyui.run(prompt)
    assert run.status == "success", run.messages
    shown = {prompt[number]["class_type"]: output for number, output in run.outputs.items()}
    ply, cameras = map(marked, shown["ManyView_Preview"]["manyview_preview"])
    assert comfyui.file(ply).startswith(b"ply") and json.loads(comfyui.file(cameras))
    assert "frames of" in shown["ManyView_Reconstruct"]["text"][0]
    if "ManyView_ExportPointCloud" in shown:
        assert {each["filename"] for each in shown["ManyView_ExportPointCloud"]["3d"]} == {
            "thumbnail.png",
            "points.ply",
            "scene.glb",
        }
    if "ManyView_ExportCOLMAP" in shown:
        folder = Path(shown["ManyView_ExportCOLMAP"]["manyview_path"][0])
        assert "PINHOLE 480 360" in (folder / "sparse" / "0" / "cameras.txt").read_text()
        assert len(list((folder / "images").iterdir())) == 16
    if "ManyView_SparsityReport" in shown:
        assert len(shown["ManyView_SparsityReport"]["manyview_frames"]) == 12


def marked(text: str) -> dict[str, str]:
    """The file that a text such as "folder/points.ply [temp]" names."""
    path, _, kind = text.removesuffix("]").rpartition(" [")
    subfolder, _, name = path.rpartition("/")
    return {"filename": name, "subfolder": subfolder, "type": kind}


def test_templates_and_blueprint_are_offered(comfyui, maker: dict) -> None:
    assert sorted(comfyui.get("/workflow_templates")["My-Pack_2"]) == NAMES
    for name in NAMES:
        place = f"/api/workflow_templates/My-Pack_2/{quote(name)}"
        assert comfyui.get(f"{place}.json")["nodes"] and comfyui.raw(f"{place}.jpg").startswith(b"\xff\xd8")
    blueprints = comfyui.get("/global_subgraphs")
    ours = [number for number, each in blueprints.items() if each["name"] == maker["BLUEPRINT"]]
    assert len(ours) == 1
    assert "ManyView_Reconstruct" in comfyui.get(f"/global_subgraphs/{ours[0]}")["data"]


def test_translations_are_served(comfyui) -> None:
    found = comfyui.get("/i18n")
    for language in ("en", "zh", "ja"):
        assert "ManyView_Reconstruct" in found[language]["nodeDefs"]
