"""An exported scene that comes back."""

from pathlib import Path

import numpy as np
import pytest

from manyview.nodes.graph import output, saved_scene
from manyview.nodes.graph.host import FolderHost
from manyview.nodes.graph.packets import Packet


def test_scene_is_the_one_that_was_exported(host: FolderHost, scene: Packet) -> None:
    assert saved_scene.scene_names(host) == ["none"]
    chosen = {**dict.fromkeys(output.POINT_FORMATS, False), "npz": True}
    output.run_export(host, scene=scene, filename_prefix="a/b", cameras=True, **chosen)
    (name,) = saved_scene.scene_names(host)
    assert name == "a/b_00001_/scene.npz [output]"
    result = saved_scene.run_load_scene(host, scene=name)
    found = result.outputs[0]
    np.testing.assert_array_equal(found["depth"], scene["depth"])
    np.testing.assert_array_equal(found["world_to_camera"], scene["world_to_camera"])
    assert found["names"] == scene["names"] and "3 frames" in result.ui["text"][0]
    points = [output.run_point_cloud(host, scene=each, max_points=500).outputs[0] for each in (scene, found)]
    np.testing.assert_array_equal(points[0]["points"], points[1]["points"])


def test_input_folder_is_looked_through_and_a_new_file_is_noticed(host: FolderHost, scene: Packet) -> None:
    place = host.input_folder / "x" / "y.npz"
    place.parent.mkdir(parents=True)
    np.savez(place, a=1)
    (name,) = saved_scene.scene_names(host)
    assert name == "x/y.npz [input]"
    before = saved_scene.fingerprint_scene(host, scene=name)
    np.savez(place, a=np.zeros(9))
    assert saved_scene.fingerprint_scene(host, scene=name) != before
    with pytest.raises(ValueError, match="not a ManyView reconstruction"):
        saved_scene.run_load_scene(host, scene=name)


@pytest.mark.parametrize("name", ["../secret.npz [output]", "x.npz [temp]", "x.npz", "x.txt [input]", "none"])
def test_other_names_are_refused(host: FolderHost, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"leads out|is not the name|There is no"):
        saved_scene.run_load_scene(host, scene=name)
