"""The 3D viewer shows what is in the files: cloud, colours, filters, cameras that look at what their photos show."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Share of the pixels that differ visibly."""
    return float((np.abs(first.astype(int) - second).max(axis=-1) > 24).mean())


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.astype(float).ravel(), second.astype(float).ravel())[0, 1])


def test_the_files_are_shown(open_viewer, truth):
    viewer = open_viewer(truth.folder)
    state = viewer.settle()
    assert state["points"] == state["shown"] == len(truth.cloud)
    assert state["cameras"] == len(truth.scene) and state["frames"] == [0, 1, 2, 3] and state["dropped"] == 0
    picture = viewer.picture()
    assert picture.shape == (360, 480, 3)
    empty = np.abs(picture.astype(int) - picture[:, :1]).max(axis=-1) < 8
    assert 0.2 < (~empty).mean() < 0.95, "the cloud fills a good part of the picture, and not all of it"
    assert viewer.events("ready") and viewer.events("progress")
    assert viewer.events("loaded")[0]["state"]["points"] == len(truth.cloud)
    assert "480,000 points" in viewer.page.locator(".status").inner_text()


@pytest.mark.parametrize("frame", [0, 2])
def test_looking_through_a_camera_shows_its_photo(open_viewer, truth, frame):
    viewer = open_viewer(truth.folder, 800, 500, hideBacks=0, shading=0)
    viewer.ask("look", frame=frame)
    assert viewer.settle()["looking"] == frame
    picture = viewer.picture()
    height, width = truth.scene.image_size
    across = round(500 * width / height)  # the photo fills the height
    left = (800 - across) // 2
    seen = Image.fromarray(picture[:, left : left + across]).resize((width, height), Image.Resampling.BOX)
    photo = truth.scene.images[frame]
    assert correlation(np.asarray(seen), photo) > 0.97
    for flipped in (photo[::-1], photo[:, ::-1], photo[::-1, ::-1]):
        assert correlation(np.asarray(seen), flipped) < 0.6
    # the right place to within a pixel: moved by two pixels it agrees less
    inner = np.asarray(seen)[8:-8, 8:-8]
    for dy, dx in ((0, 2), (0, -2), (2, 0), (-2, 0)):
        moved = photo[8 + dy : photo.shape[0] - 8 + dy, 8 + dx : photo.shape[1] - 8 + dx]
        assert correlation(inner, moved) < correlation(inner, photo[8:-8, 8:-8]) - 0.004


def test_the_photo_lies_exactly_over_the_view(open_viewer, truth):
    viewer = open_viewer(truth.folder, 700, 420, hideBacks=0, shading=0)
    viewer.ask("look", frame=1)
    bare = viewer.picture()
    viewer.options(photoOpacity=1)
    covered = viewer.picture()
    height, width = truth.scene.image_size
    across = round(420 * width / height)
    part = slice((700 - across) // 2 + 2, (700 + across) // 2 - 2)
    assert correlation(covered[:, part], bare[:, part]) > 0.95
    shown = viewer.page.locator("img.compare").bounding_box()
    assert shown["width"] == pytest.approx(across, abs=1) and shown["y"] == pytest.approx(0, abs=0.5)


def test_each_colour_mode_changes_the_picture(open_viewer, small):
    viewer = open_viewer(small)
    pictures = {}
    for color in ("rgb", "confidence", "frame", "depth", "height"):
        viewer.options(color=color)
        pictures[color] = viewer.picture()
        legend = viewer.page.locator(".legend")
        assert legend.is_visible() == (color != "rgb")
    names = list(pictures)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            assert difference(pictures[first], pictures[second]) > 0.05, (first, second)


def test_the_confidence_slider_hides_points(open_viewer, small, truth):
    viewer = open_viewer(small, panel=1, width=900)
    before = viewer.picture()
    total = viewer.settle()["points"]
    slider = viewer.page.locator("input[data-option=confidenceRank]")
    slider.fill("0.5")
    state = viewer.settle()
    assert state["options"]["confidenceRank"] == pytest.approx(50)
    values = point_values(small)
    kept = int((values >= np.float32(np.percentile(values, 50))).sum())
    assert state["shown"] == kept == pytest.approx(total / 2, rel=0.01)
    half = viewer.picture()
    assert difference(before, half) > 0.03
    # by value: the same points, said otherwise
    viewer.page.locator("[data-choice=value]").click()
    state = viewer.settle()
    assert state["options"]["confidenceBy"] == "value" and state["shown"] == kept
    assert difference(viewer.picture(), half) == 0
    viewer.options(confidenceValue=0.3)
    assert viewer.settle()["shown"] == int((values >= np.float32(0.3)).sum())


def point_values(folder) -> np.ndarray:
    import plyfile

    return plyfile.PlyData.read(folder / "points.ply")["vertex"]["confidence"]


def test_frames_are_filtered(open_viewer, small):
    import plyfile

    frames = plyfile.PlyData.read(small / "points.ply")["vertex"]["view_id"]
    viewer = open_viewer(small)
    before = viewer.picture()
    viewer.options(frames=[1])
    assert viewer.settle()["shown"] == int((frames == 1).sum())
    assert difference(before, viewer.picture()) > 0.03
    viewer.options(frames=[0, 2])
    assert viewer.settle()["shown"] == int(np.isin(frames, [0, 2]).sum())
    viewer.options(frames=[])
    assert viewer.settle()["shown"] == 0
    viewer.options(frames=None)
    assert viewer.settle()["shown"] == len(frames)
    page = viewer.page
    page.locator("canvas").first.focus()
    page.keyboard.press("f")  # one frame alone, then step through them
    assert viewer.settle()["options"]["frames"] == [0]
    page.keyboard.press("ArrowRight")
    assert viewer.settle()["options"]["frames"] == [1]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert viewer.settle()["options"]["frames"] == [3]
    page.keyboard.press("f")
    assert viewer.settle()["options"]["frames"] is None


def test_surfaces_seen_from_behind_are_hidden(open_viewer, small):
    viewer = open_viewer(small)
    viewer.ask("view", side="top")
    looking_in = viewer.picture()
    viewer.options(hideBacks=False)
    assert difference(viewer.picture(), looking_in) > 0.1, "from above, the ceiling covers the room"


def test_a_point_is_picked(open_viewer, truth):
    viewer = open_viewer(truth.folder, 640, 480, hideBacks=0)
    viewer.ask("look", frame=0)
    height, width = truth.scene.image_size
    y, x = 180, 120
    expected = truth.scene.frame_points(0)[y, x] * (1, -1, -1)
    page_x, page_y = viewer.place_of(expected)
    assert page_x == pytest.approx(320 + (x + 0.5 - width / 2) * 480 / height, abs=1)
    assert page_y == pytest.approx((y + 0.5) * 480 / height, abs=1)
    viewer.page.mouse.click(page_x, page_y)
    viewer.settle()
    point = viewer.events("point")[-1]["point"]
    depth = truth.scene.depth[0, y, x]
    assert np.linalg.norm(np.array(point["position"]) - expected) < 0.02 * depth
    nearest = np.linalg.norm(truth.cloud.points * (1, -1, -1) - point["position"], axis=1).argmin()
    assert point["frame"] == truth.cloud.frame[nearest]
    assert point["name"] == truth.scene.names[point["frame"]]
    assert point["confidence"] == pytest.approx(truth.cloud.confidence[nearest], rel=1e-5)
    assert point["color"] == truth.cloud.colors[nearest].tolist()
    pose = truth.scene.world_to_camera[point["frame"]]
    assert point["depth"] == pytest.approx((pose @ [*truth.cloud.points[nearest], 1])[2], rel=1e-3)
    rank = 100 * (truth.cloud.confidence < point["confidence"]).mean()
    assert point["rank"] == pytest.approx(rank, abs=0.1)
    card = viewer.page.locator(".card")
    assert card.is_visible() and truth.scene.names[point["frame"]] in card.inner_text()
    viewer.page.keyboard.press("Escape")
    viewer.settle()
    assert not card.is_visible()


def test_a_distance_is_measured_and_made_metric(open_viewer, truth):
    viewer = open_viewer(truth.folder, hideBacks=0, width=800, height=600)
    viewer.ask("look", frame=0)
    viewer.page.keyboard.press("m")
    targets = [truth.scene.frame_points(0)[y, x] * (1, -1, -1) for y, x in ((200, 60), (210, 330))]
    for target in targets:
        viewer.page.mouse.click(*viewer.place_of(target))
        viewer.settle()
    event = viewer.events("distance")[-1]
    length = np.linalg.norm(targets[0] - targets[1])
    assert event["units"] == pytest.approx(length, rel=0.02) and event["meters"] is None
    ends = [np.array(point["position"]) for point in event["points"]]
    assert event["units"] == pytest.approx(np.linalg.norm(ends[0] - ends[1]), rel=1e-6)
    assert "units" in viewer.page.locator(".distance").inner_text()
    viewer.page.locator("input[data-measure=length]").fill("250")
    viewer.page.locator(".known select").select_option("cm")
    viewer.page.locator(".known button").click()
    viewer.settle()
    scale = viewer.events("scale")[-1]
    assert scale["metersPerUnit"] == pytest.approx(2.5 / event["units"], rel=1e-6)
    assert scale["meters"] == pytest.approx(2.5)
    assert viewer.page.locator(".distance").inner_text() == "2.50 m"
    assert viewer.settle()["measure"]["metersPerUnit"] == pytest.approx(scale["metersPerUnit"])


def test_a_click_on_a_camera_looks_through_it(open_viewer, small, truth):
    viewer = open_viewer(small, width=900, height=700)
    viewer.ask("whole")
    viewer.settle()
    position = truth.scene.camera_positions[2] * (1, -1, -1)
    viewer.page.mouse.click(*viewer.place_of(position))
    assert viewer.settle()["looking"] == 2
    assert viewer.events("camera")[-1]["name"] == truth.scene.names[2]
    bar = viewer.page.locator(".lookbar")
    assert truth.scene.names[2] in bar.inner_text() and "Frame 2" in bar.inner_text()
    bar.get_by_role("button", name="Next camera").click()
    assert viewer.settle()["looking"] == 3
    viewer.page.keyboard.press("Escape")
    assert viewer.settle()["looking"] is None and not bar.is_visible()


def test_a_camera_may_be_chosen_from_the_lists(open_viewer, small, truth):
    viewer = open_viewer(small, filmstrip=1, panel=1, width=1000, height=700)
    names = truth.scene.names
    photos = viewer.page.locator(".filmstrip .photo")
    assert photos.count() == len(names)
    photos.nth(1).click()
    assert viewer.settle()["looking"] == 1
    viewer.page.locator("summary", has_text="Frames").click()
    viewer.page.locator(".frame .name", has_text=names[3]).click()
    assert viewer.settle()["looking"] == 3
    viewer.page.locator(".frame input").nth(0).uncheck()
    assert viewer.settle()["options"]["frames"] == [1, 2, 3]
    viewer.page.locator(".filmstrip .eye").nth(0).click()
    assert viewer.settle()["options"]["frames"] is None


def test_the_clip_box_cuts(open_viewer, small):
    viewer = open_viewer(small)
    total = viewer.settle()["shown"]
    viewer.options(clip=[[0, 0.5], [0, 1], [0, 1]])
    left = viewer.settle()["shown"]
    viewer.options(clip=[[0.5, 1], [0, 1], [0, 1]])
    right = viewer.settle()["shown"]
    assert left + right == pytest.approx(total, abs=3) and min(left, right) > 0.1 * total
    viewer.options(clip=None)
    assert viewer.settle()["shown"] == total


def test_mouse_and_keys_move_the_eye(open_viewer, small):
    viewer = open_viewer(small)
    mouse, keyboard = viewer.page.mouse, viewer.page.keyboard

    def view() -> dict:
        return viewer.settle()["view"]

    start = view()
    mouse.move(240, 180)
    mouse.down()
    mouse.move(320, 200, steps=4)
    mouse.up()
    turned = view()
    assert np.allclose(turned["target"], start["target"], atol=1e-6), "the pivot stays"
    distance = np.linalg.norm(np.subtract(start["position"], start["target"]))
    assert np.linalg.norm(np.subtract(turned["position"], turned["target"])) == pytest.approx(distance, rel=1e-6)
    assert np.linalg.norm(np.subtract(turned["position"], start["position"])) > 0.1 * distance
    mouse.down(button="right")
    mouse.move(340, 220, steps=4)
    mouse.up(button="right")
    shifted = view()
    assert shifted["quaternion"] == pytest.approx(turned["quaternion"])
    assert np.linalg.norm(np.subtract(shifted["target"], turned["target"])) > 0.01 * distance
    keyboard.down("w")
    viewer.page.wait_for_timeout(150)
    keyboard.up("w")
    flown = view()
    ahead = np.subtract(shifted["target"], shifted["position"])
    assert np.dot(np.subtract(flown["position"], shifted["position"]), ahead) > 0
    keyboard.press("h")
    assert view()["position"] == pytest.approx(start["position"])


def test_the_wheel_zooms_to_the_pointer(open_viewer, truth):
    viewer = open_viewer(truth.folder, hideBacks=0)
    point = truth.scene.frame_points(1)[150, 200] * (1, -1, -1)
    viewer.ask("look", frame=1)
    x, y = viewer.place_of(point)
    viewer.page.mouse.move(x, y)
    viewer.page.mouse.wheel(0, -400)
    state = viewer.settle()
    assert state["looking"] is None
    assert viewer.place_of(point) == pytest.approx((x, y), abs=3), "what was under the pointer stays there"


def test_the_first_view_is_on_what_is_trusted_and_another_viewer_can_follow(open_viewer, small):
    viewer = open_viewer(small)
    document = json.loads((small / "cameras.json").read_text())
    first = viewer.settle()["view"]
    center, radius = document["focus"]["center"], document["focus"]["radius"]
    assert np.linalg.norm(np.subtract(first["target"], center)) < radius
    viewer.ask("whole")
    assert not np.allclose(viewer.settle()["view"]["position"], first["position"])
    viewer.ask("follow")
    viewer.ask("home")
    viewer.settle()
    pose = viewer.events("pose")[-1]["pose"]
    viewer.ask("whole")
    viewer.settle()
    told = len(viewer.events("pose"))
    viewer.ask("pose", pose=pose)
    np.testing.assert_allclose(viewer.settle()["view"]["position"], first["position"], atol=1e-4)
    assert len(viewer.events("pose")) == told, "who is led does not lead"


def test_projections_and_sides(open_viewer, small):
    viewer = open_viewer(small)
    home = viewer.picture()
    viewer.options(projection="orthographic")
    assert viewer.settle()["view"]["projection"] == "orthographic"
    assert difference(home, viewer.picture()) > 0.03
    directions = []
    for side in ("top", "front", "side"):
        viewer.ask("view", side=side)
        view = viewer.settle()["view"]
        direction = np.subtract(view["target"], view["position"])
        directions.append(direction / np.linalg.norm(direction))
        assert 0.05 < (np.abs(viewer.picture().astype(int) - [58, 64, 74]).max(-1) > 60).mean() < 0.98
    assert np.abs(np.stack(directions) @ np.transpose(directions) - np.eye(3)).max() < 1e-3
    assert directions[0] @ viewer.settle()["view"]["up"] == pytest.approx(-1)
    with pytest.raises(Exception, match="side cannot be"):
        viewer.ask("view", side="inside")


def test_sizes_shading_background_and_marks_change_the_picture(open_viewer, small):
    viewer = open_viewer(small)
    for change in (
        {"worldSize": 3},
        {"sizeMode": "pixels", "pixelSize": 8},
        {"shading": 1},
        {"background": "white"},
        {"background": "#336699"},
        {"grid": True},
        {"cameraSize": 4},
        {"photos": False},
        {"frusta": False},
    ):
        before = viewer.picture()
        viewer.options(**change)
        assert difference(before, viewer.picture()) > 0.0005, change
    assert (viewer.picture()[5, 5] == [0x33, 0x66, 0x99]).all()


def test_foreign_clouds_may_have_any_axis_up(open_viewer, small, tmp_path):
    folder = tmp_path / "alone"
    folder.mkdir()
    shutil.copy(small / "points.ply", folder)
    viewer = open_viewer(folder)
    state = viewer.settle()
    assert state["view"]["up"] == [0, 1, 0] and state["cameras"] == 0 and state["frames"] == [0, 1, 2, 3]
    viewer.options(up="-z", color="depth")
    assert viewer.settle()["view"]["up"] == [0, 0, -1]
    assert "does not say" in viewer.page.locator(".legend").inner_text()


def test_files_are_dropped_and_chosen(open_viewer, small):
    viewer = open_viewer()
    assert viewer.page.locator(".empty").is_visible()
    chooser = viewer.page.locator("input[type=file]")
    chooser.set_input_files([small / "points.ply", small / "cameras.json"])
    viewer.wait_for("loaded")
    assert viewer.settle()["cameras"] == 4 and not viewer.page.locator(".empty").is_visible()
    chooser.set_input_files([small / "points.ply"])
    viewer.wait_for("loaded", 2)
    assert viewer.settle()["cameras"] == 0
    chooser.set_input_files([small / "cameras.json"])
    viewer.wait_for("loaded", 3)
    state = viewer.settle()
    assert state["cameras"] == 4 and state["points"] == len(point_values(small))
    name = json.loads((small / "cameras.json").read_text())["cameras"][0]["name"]
    assert name == "frame_00.jpg"
