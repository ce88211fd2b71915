"""What the viewer on the page is given."""

import json

import numpy as np

from manyview.nodes.graph.host import FolderHost
from manyview.nodes.graph.packets import Packet, points_packet, scene_of
from manyview.nodes.graph.preview import run_preview
from manyview.nodes.graph.scenes import run_set_scale
from manyview.nodes.point_cloud import point_cloud


def test_a_page_lists_the_picture_and_the_cloud(host: FolderHost, scene: Packet) -> None:
    listed = run_preview(host, scene=scene).ui["3d"]
    assert [each["filename"] for each in listed] == ["thumbnail.png", "points.ply"] and listed[0]["type"] == "temp"


def test_points_and_cameras_are_files_of_the_temp_folder(host: FolderHost, scene: Packet) -> None:
    cloud = point_cloud(scene_of(scene), max_points=50)
    result = run_preview(host, scene=scene, points=points_packet(cloud))
    shown = result.ui["manyview_preview"]
    ply, cameras = (host.temp_folder / each["subfolder"] / each["filename"] for each in shown)
    assert ply.read_bytes().startswith(b"ply") and result.ui["text"][0].startswith(
        f"{len(cloud)} points, 3 cameras\nconfidence "
    )
    views = json.loads(cameras.read_text())["cameras"]
    assert [view["name"] for view in views] == scene["names"] and np.shape(views[0]["camera_to_world"]) == (4, 4)


def test_another_filter_of_a_scene_is_told_from_another_scene(host: FolderHost, scene: Packet) -> None:
    points = points_packet(point_cloud(scene_of(scene), max_points=20))
    first, again = run_preview(host, scene=scene), run_preview(host, scene=scene, points=points)
    assert first.ui["manyview_scene"] == again.ui["manyview_scene"]
    scene["world_to_camera"] = scene["world_to_camera"] + 1
    assert run_preview(host, scene=scene).ui["manyview_scene"] != first.ui["manyview_scene"]


def test_a_metric_scene_measures_in_metres(host: FolderHost, scene: Packet) -> None:
    metric = run_set_scale(host, scene=scene, measured=1.0, meters=2.0).outputs[0]
    for given, expected in ((scene, None), (metric, 1.0)):
        shown = run_preview(host, scene=given).ui["manyview_preview"][1]
        cameras = json.loads((host.temp_folder / shown["subfolder"] / shown["filename"]).read_text())
        assert cameras["meters_per_unit"] == expected


def test_without_points_those_of_the_usual_filters(host: FolderHost, scene: Packet) -> None:
    count = len(point_cloud(scene_of(scene)))
    (text,) = run_preview(host, scene=scene).ui["text"]
    assert text.splitlines()[0] == f"{count:,} points, 3 cameras" and "verdict: not rated" in text
