"""Our nodes in a real ComfyUI: what it says of them, and graphs in API form."""

import io
import json
import struct
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from manyview.nodes.graph.definitions import definitions
from manyview.nodes.graph.table import LIVE_OPTIONS


def test_starts_without_complaint_and_quickly(comfyui, base: Path) -> None:
    log = (base / "comfyui.log").read_text()
    lines = [line for line in log.splitlines() if "My-Pack" in line]
    assert lines and not any("IMPORT FAILED" in line for line in lines), log[-3000:]
    assert "Traceback" not in log and "Cannot import" not in log
    print("import:", lines[0].strip())


def test_nodes_look_as_the_repository_says(comfyui) -> None:
    found = comfyui.get("/object_info")
    for name, expected in definitions().items():
        actual = found[name]
        for node, live in LIVE_OPTIONS:
            if node != name or "." in live:  # nested choices are compared as they are
                continue
            choices = []
            for each in (actual, expected):
                inputs = {**each["input"]["required"], **each["input"].get("optional", {})}
                choices.append(set(inputs[live][1].pop("options")))
            assert choices[1] <= choices[0], live
        assert {key: actual.get(key) for key in expected} == expected
        assert actual["python_module"] == "custom_nodes.My-Pack_2"


def test_help_locales_and_scripts_are_served(comfyui) -> None:
    names = comfyui.get("/extensions")
    ours = [name for name in names if "/My-Pack_2/" in name]
    for name in definitions():
        assert comfyui.raw(f"/extensions/My-Pack_2/docs/{name}.md").startswith(b"#")
    assert len(ours) == len(set(ours))


def test_folder_to_files(comfyui, graph) -> None:
    run = comfyui.run(graph())
    assert run.status == "success"
    entries = {each["filename"]: each for each in run.outputs["export"]["3d"]}
    assert set(entries) == {"thumbnail.png", "points.ply", "scene.glb"}
    assert comfyui.file(entries["points.ply"]).startswith(b"ply\nformat binary_little_endian")
    data = comfyui.file(entries["scene.glb"])
    extras = json.loads(data[20 : 20 + struct.unpack("<I", data[12:16])[0]])["asset"]["extras"]
    assert extras["workflow"]["version"] == 0.4 and extras["prompt"]["scene"]["class_type"] == "ManyView_Reconstruct"
    assert "3 frames of 112 x 84 pixels" in run.outputs["scene"]["text"][0]


def test_second_run_is_cached_and_a_threshold_runs_only_the_cloud(comfyui, graph) -> None:
    values = {"points": {"max_points": 501}}
    first = comfyui.run(graph(**values))
    again = comfyui.run(graph(**values))
    assert again.cached >= {"model", "images", "sparsity", "scene", "points"}
    edited = comfyui.run(graph(points={"max_points": 501, "confidence_percentile": 60.0}))
    assert edited.cached == {"model", "images", "sparsity", "scene"}
    assert first.status == again.status == edited.status == "success"


def test_sparsity_does_not_load_again_and_a_new_photo_runs_again(comfyui, graph, base: Path) -> None:
    comfyui.run(graph())
    changed = comfyui.run(
        graph(
            sparsity={
                "method": "custom",
                "method.rho": 0.5,
                "method.tau": 0.0,
                "method.dense_layers": "",
                "method.min_tokens": 1,
            }
        )
    )
    assert changed.status == "success" and changed.cached == {"model", "images"}
    assert "% of all pairs" in changed.outputs["scene"]["text"][0]
    photo = base / "input" / "photos" / "photo_9.png"
    Image.new("RGB", (80, 60), (90, 20, 30)).save(photo)
    try:
        more = comfyui.run(graph())
        assert "images" not in more.cached and "4 frames" in more.outputs["scene"]["text"][0]
    finally:
        photo.unlink()


def test_list_of_single_images_is_one_scene(comfyui, graph) -> None:
    prompt = graph(scene={"images": ["list", 0], "resolution": 112})
    prompt["list"] = {"class_type": "LoadImageDataSetFromFolder", "inputs": {"folder": "photos"}}
    del prompt["images"]
    run = comfyui.run(prompt)
    assert "3 frames" in run.outputs["scene"]["text"][0] and len(run.outputs["scene"]["text"]) == 1


def test_what_dragging_pictures_onto_the_canvas_makes(comfyui, graph) -> None:
    prompt = graph(scene={"images": ["batch", 0], "masks": ["one", 1], "resolution": 112})
    for name, number in (("one", 0), ("two", 1), ("three", 2)):
        prompt[name] = {"class_type": "LoadImage", "inputs": {"image": f"single_{number}.png"}}
    prompt["batch"] = {
        "class_type": "BatchImagesNode",
        "inputs": {"images.image0": ["one", 0], "images.image1": ["two", 0], "images.image2": ["three", 0]},
    }
    del prompt["images"]
    run = comfyui.run(prompt)
    assert run.status == "success", run.messages
    assert "3 frames" in run.outputs["scene"]["text"][0]


def test_core_nodes_take_what_ours_give(comfyui, graph) -> None:
    prompt = graph()
    prompt["maps"] = {
        "class_type": "ManyView_DepthMaps",
        "inputs": {"scene": ["scene", 0], "style": "near is white", "scale": "whole scene", "files": "none"},
    }
    prompt["render"] = {
        "class_type": "DA3Render",
        "inputs": {
            "da3_geometry": ["maps", 3],
            "output": "depth_colored",
            "output.normalization": "v2_style",
            "output.apply_sky_clip": False,
        },
    }
    prompt["render image"] = {"class_type": "PreviewImage", "inputs": {"images": ["render", 0]}}
    prompt["mesh"] = {
        "class_type": "DA3GeometryToMesh",
        "inputs": {
            "da3_geometry": ["maps", 3],
            "batch_index": 1,
            "decimation": 1,
            "discontinuity_threshold": 0.0,
            "confidence_threshold": 0.0,
            "use_sky_mask": False,
            "texture": True,
        },
    }
    prompt["mesh file"] = {"class_type": "SaveGLB", "inputs": {"mesh": ["mesh", 0], "filename_prefix": "mesh/m"}}
    prompt["depth image"] = {"class_type": "PreviewImage", "inputs": {"images": ["scene", 1]}}
    prompt["cameras"] = {
        "class_type": "ManyView_Cameras",
        "inputs": {"scene": ["scene", 0], "frame": 1, "coordinates": "ComfyUI's viewer", "points": ["points", 0]},
    }
    viewer = {"viewport_state": "", "width": 256, "height": 256, "camera_info": ["cameras", 2]}
    prompt["view"] = {"class_type": "PreviewPointCloud", "inputs": {"model_3d": ["points", 1], **viewer}}
    prompt["view ply"] = {"class_type": "PreviewPointCloud", "inputs": {"model_3d": ["scene", 3], **viewer}}
    prompt["save"] = {
        "class_type": "SavePointCloud",
        "inputs": {"model_3d": ["points", 1], "filename_prefix": "cloud/c", **viewer},
    }
    prompt["text"] = {"class_type": "PreviewAny", "inputs": {"source": ["cameras", 4]}}
    run = comfyui.run(prompt)
    assert run.status == "success", run.messages
    for name in ("render image", "depth image"):
        pictures = [Image.open(io.BytesIO(comfyui.file(each))) for each in run.outputs[name]["images"]]
        assert [picture.size for picture in pictures] == [(112, 84)] * 3
        assert all(np.asarray(picture).std() > 1 for picture in pictures)
    assert comfyui.file(run.outputs["mesh file"]["3d"][0]).startswith(b"glTF")
    for name in ("save", "view", "view ply"):
        file, camera, _ = run.outputs[name]["result"]
        assert camera["cameraType"] == "perspective"
        kind = "output" if name == "save" else "temp"
        place = Path(file.partition(" [")[0])
        found = {"filename": place.name, "subfolder": place.parent.as_posix().strip("."), "type": kind}
        assert comfyui.file(found).startswith(b"ply")
    assert json.loads(run.outputs["text"]["text"][0])["views"][1]["name"] == "photo_1.png"


def test_colmap_of_frames_from_core(comfyui, graph, base: Path) -> None:
    prompt = graph(scene={"images": ["list", 0], "resolution": 112})
    prompt["list"] = {"class_type": "LoadImageDataSetFromFolder", "inputs": {"folder": "photos"}}
    del prompt["images"]
    prompt["colmap"] = {
        "class_type": "ManyView_ExportCOLMAP",
        "inputs": {
            "scene": ["scene", 0],
            "images": ["list", 0],
            "filename_prefix": "colmap/c",
            "colmap_text": True,
            "colmap_points": 500,
        },
    }
    run = comfyui.run(prompt)
    assert run.status == "success", run.messages
    folder = Path(run.outputs["colmap"]["manyview_path"][0])
    assert folder.is_relative_to(base / "output")
    with Image.open(min((folder / "images").iterdir())) as picture:
        assert picture.size == (80, 60)
    assert "PINHOLE 80 60" in (folder / "sparse" / "0" / "cameras.txt").read_text()
    (place,) = run.outputs["colmap"]["manyview_folder"]
    assert folder == base / "output" / place and run.outputs["colmap"]["text"][0].endswith(f" files in output/{place}")
    with zipfile.ZipFile(io.BytesIO(comfyui.raw(f"/api/manyview/zip?folder={quote(place)}"))) as archive:
        assert set(archive.namelist()) == {
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        }


@pytest.mark.parametrize("place", ["", "..", "../input", "%2Fetc", "gone"])
def test_zip_of_other_places_is_refused(comfyui, place: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        comfyui.raw(f"/manyview/zip?folder={place}")


def test_viewer_is_one_page_that_is_asked_for_only_when_it_changed(comfyui) -> None:
    with urllib.request.urlopen(f"{comfyui.url}/api/manyview/viewer") as answer:
        assert answer.headers["Cache-Control"] == "no-cache" and b"<script" in answer.read()
        again = urllib.request.Request(answer.url, headers={"If-None-Match": answer.headers["ETag"]})
    with pytest.raises(urllib.error.HTTPError, match="304"):
        urllib.request.urlopen(again)


def test_cached_nodes_say_again_what_they_said(comfyui, graph) -> None:
    first, again = comfyui.run(graph()), comfyui.run(graph())
    assert again.cached >= {"model", "images", "scene", "points"}
    for name in ("model", "images", "scene", "points"):
        assert again.outputs[name]["text"] == first.outputs[name]["text"]


def test_assets_list_a_picture_and_not_the_cameras(comfyui, graph) -> None:
    prompt = graph()
    prompt["preview"] = {"class_type": "ManyView_Preview", "inputs": {"scene": ["scene", 0], "points": ["points", 0]}}
    for left_out, kind in (("preview", "output"), ("export", "temp")):
        prompt_id = comfyui.queue({name: node for name, node in prompt.items() if name != left_out})
        comfyui.wait(prompt_id)
        shown = comfyui.get(f"/api/jobs/{prompt_id}")["preview_output"]
        assert shown["filename"] == "thumbnail.png" and shown["type"] == kind


def test_exported_scene_comes_back_without_the_network(comfyui, graph, base: Path) -> None:
    run = comfyui.run(graph(export={"npz": True, "filename_prefix": "kept/scene"}))
    (place,) = run.outputs["export"]["manyview_folder"]
    name = f"{place}/scene.npz [output]"
    assert (
        name
        in comfyui.get("/object_info/ManyView_LoadScene")["ManyView_LoadScene"]["input"]["required"]["scene"][1][
            "options"
        ]
    )
    points = graph()["points"]
    points["inputs"]["scene"] = ["kept", 0]
    prompt = {"kept": {"class_type": "ManyView_LoadScene", "inputs": {"scene": name}}, "points": points}
    prompt["preview"] = {"class_type": "ManyView_Preview", "inputs": {"scene": ["kept", 0], "points": ["points", 0]}}
    again = comfyui.run(prompt)
    assert again.status == "success", again.messages
    assert again.outputs["points"]["text"] == run.outputs["points"]["text"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": {"source": "empty"}}, "holds no images"),
        ({"images": {"source": "broken"}}, "broken.jpg"),
        ({"model": {"model": "pi3"}}, "To get them by hand, download"),
        ({"export": {"filename_prefix": "../outside"}}, "outside"),
        ({"export": {"ply": False, "glb": False}}, "Nothing is chosen"),
    ],
)
def test_bad_inputs_fail_that_graph_only(comfyui, graph, changes: dict, words: str) -> None:
    run = comfyui.run(graph(**changes))
    assert run.status == "error" and words in run.error
    assert comfyui.run(graph()).status == "success"


@pytest.mark.parametrize("source", ["../secret", "/etc", "gone"])
def test_names_that_are_not_offered_are_refused(comfyui, graph, source: str) -> None:
    answer = comfyui.post("/prompt", {"prompt": graph(images={"source": source})})
    assert answer["node_errors"]["images"]["errors"][0]["type"] == "value_not_in_list"


def test_running_out_of_memory_says_what_would_fit_and_comfyui_goes_on(comfyui, graph) -> None:
    prompt = graph(scene={"model": ["broken", 0]})
    prompt["broken"] = {"class_type": "TestBreakMemory", "inputs": {"model": ["model", 0]}}
    run = comfyui.run(prompt)
    assert run.status == "error" and run.error.startswith("Out of memory: 3 views of 112 x 84 pixels need about")
    assert "What should fit: " in run.error and "Traceback" not in run.error
    assert comfyui.run(graph()).status == "success"


def test_cancel(comfyui, graph) -> None:
    prompt = graph(model={"model": "mini"}, images={"source": "sample scene of ManyView", "resolution": 518})
    prompt_id = comfyui.queue(prompt)
    seen = time.monotonic() + 60
    while "Requested to load VGGT" not in (comfyui.base / "comfyui.log").read_text() and time.monotonic() < seen:
        time.sleep(0.2)
    time.sleep(3)
    started = time.monotonic()
    comfyui.post("/interrupt", {})
    run = comfyui.wait(prompt_id)
    print(f"cancelled after {time.monotonic() - started:.2f} s")
    assert "execution_interrupted" in run.messages and run.messages["execution_interrupted"]["node_id"] == "scene"
    assert comfyui.run(graph()).status == "success"
