"""Every export, read back: its points, seen by its cameras, fall on their pixels, which have their colours.

Photos of several shapes whose colour says where in the photo it is; any depth, poses and focal lengths do.
"""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plyfile
import pycolmap
import pygltflib
import pytest
import torch
from PIL import Image

from manyview.models.geometry import quaternion_to_rotation
from manyview.nodes.export import export
from manyview.nodes.graph.cameras import camera_matrices, camera_text, viewer_camera
from manyview.nodes.graph.maps import geometry
from manyview.scene.export import write_viewer
from manyview.scene.images import load_images
from manyview.scene.pointcloud import PointCloud, point_cloud
from manyview.scene.preprocess import RESIZE_MODES
from manyview.scene.reconstruction import Reconstruction

SIZES = ((120, 80), (80, 120), (97, 101), (120, 80))  # of the photos
FLIP = np.array([1.0, -1.0, -1.0])
MODES = (*RESIZE_MODES, "keep", "square")  # with one centre of the first pixel or the other, two with both
COLOR_LIMIT = 8  # of 255; one pixel of the smallest photo is 3


@pytest.fixture(scope="module", params=[(mode, (0.0, 0.5)[turn % 2]) for turn, mode in enumerate(MODES)], ids=str)
def exported(request, look_at, tmp_path_factory: pytest.TempPathFactory) -> "Exported":
    (mode, center), tmp_path = request.param, tmp_path_factory.mktemp("exported")
    for number, (width, height) in enumerate(SIZES):
        y, x = np.mgrid[:height, :width] + 0.5
        coded = np.stack((255 * x / width, 255 * y / height, np.full(x.shape, 60.0 * number)), axis=-1)
        Image.fromarray(np.rint(coded).astype(np.uint8)).save(tmp_path / f"{number} photo.png")
    images = load_images(tmp_path, resize=mode, resolution=112)
    frames, height, width = images.images.shape[:3]
    random = np.random.default_rng(0)
    intrinsics = np.tile(np.eye(3), (frames, 1, 1))
    intrinsics[:, 0, 0], intrinsics[:, 1, 1] = width * random.uniform(0.7, 1.4, (2, frames))
    intrinsics[:, 0, 2], intrinsics[:, 1, 2] = width / 2 - 0.5 + center, height / 2 - 0.5 + center
    scene = Reconstruction(
        depth=(2 + random.random((frames, 1, 1)) + np.linspace(0, 1, width)).astype(np.float32).repeat(height, axis=1),
        confidence=np.full((frames, height, width), 0.5, np.float32),
        world_to_camera=np.stack([look_at((number, 0.3 * number, -1.0), (0.5, 0, 3)) for number in range(frames)]),
        intrinsics=intrinsics,
        pixel_center=center,
        **{
            name: getattr(images, name)
            for name in ("images", "names", "original_sizes", "scale_offset", "masks", "paths")
        },
    )
    cloud = point_cloud(scene, edge_filter=None, outlier_filter=False, max_points=2000, reduce="random")
    export(scene, cloud, tmp_path / "out", ["ply", "glb", "colmap", "npz"], colmap_text=True)
    write_viewer(cloud, scene, tmp_path / "view")
    return Exported(scene, cloud, tmp_path)


class Exported:
    """A scene, its points, and where the files are."""

    def __init__(self, scene: Reconstruction, cloud: PointCloud, folder: Path) -> None:
        self.scene, self.cloud, self.folder = scene, cloud, folder

    def check(
        self, frame: int, pixels: np.ndarray, picture: np.ndarray, original: bool, limit_px: float = 0.02
    ) -> None:
        """Where the points of a frame were seen in a picture of it, which has the model's size or the original's."""
        mine = self.cloud.frame == frame
        expected = self.cloud.pixel[mine] + 0.5
        if original:
            scale, offset = self.scene.scale_offset[frame, :2], self.scene.scale_offset[frame, 2:]
            expected, limit_px = expected * scale + offset, limit_px * max(1.0, scale.max())
        assert mine.sum() > 100 and np.abs(pixels - expected).max() < limit_px
        inside = ((pixels >= 0) & (pixels < picture.shape[1::-1])).all(axis=1)
        assert inside.mean() > 0.97
        x, y = pixels[inside].astype(int).T
        assert np.percentile(np.abs(picture[y, x].astype(int) - self.cloud.colors[mine][inside]), 98) <= COLOR_LIMIT

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """Frames and their points."""
        for frame in range(len(self.scene)):
            yield frame, self.cloud.points[self.cloud.frame == frame].astype(np.float64)

    def photo(self, frame: int) -> np.ndarray:
        with Image.open(self.scene.paths[frame]) as picture:
            return np.asarray(picture)


def seen(points: np.ndarray, world_to_camera: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Pixels (M, 2) of points, by OpenCV's rule."""
    camera = points @ np.asarray(world_to_camera)[:3, :3].T + np.asarray(world_to_camera)[:3, 3]
    assert (camera[:, 2] > 0).all()
    return camera[:, :2] / camera[:, 2:] * np.array([k[0][0], k[1][1]]) + np.array([k[0][2], k[1][2]])


def test_colmap(exported: Exported) -> None:
    project = exported.folder / "out" / "colmap"
    binary = pycolmap.Reconstruction(project / "sparse" / "0")
    for frame, _ in exported.frames():
        image = binary.images[frame + 1]
        camera = binary.cameras[image.camera_id]
        with Image.open(project / "images" / image.name) as opened:
            picture = np.asarray(opened)
        assert picture.shape[1::-1] == (camera.width, camera.height) == SIZES[frame]
        points = np.array([binary.points3D[number].xyz for number in sorted(binary.points3D)])
        mine = points[exported.cloud.frame == frame]
        exported.check(frame, seen(mine, image.cam_from_world().matrix(), camera.calibration_matrix()), picture, True)
    text = (project / "sparse" / "0" / "images.txt").read_text().splitlines()[2::2]
    for line, number in zip(text, range(1, 5), strict=True):
        values = np.array(line.split()[1:8], float)
        np.testing.assert_allclose(values[4:], binary.images[number].cam_from_world().translation, atol=1e-9)


def test_npz_and_the_cameras_node(exported: Exported) -> None:
    with np.load(exported.folder / "out" / "scene.npz") as file:
        arrays = dict(file)
    about = json.loads(camera_text(exported.scene))["views"]
    poses, matrices = camera_matrices(exported.scene)
    packet = geometry(exported.scene)
    shift = np.array([[0, 0, 0.5 - exported.scene.pixel_center]] * 2 + [[0, 0, 0]])
    for frame, points in exported.frames():
        np.testing.assert_array_equal(arrays["cloud_points"][arrays["cloud_frame"] == frame], points.astype(np.float32))
        pose = np.linalg.inv(arrays["camera_to_world"][frame])
        model = exported.scene.images[frame]
        exported.check(frame, seen(points, pose, arrays["original_intrinsics"][frame]), exported.photo(frame), True)
        exported.check(frame, seen(points, pose, arrays["intrinsics"][frame] + shift), model, False)
        view = about[frame]
        assert (view["width"], view["height"]) == SIZES[frame]
        exported.check(frame, seen(points, view["world_to_camera"], view["intrinsics"]), exported.photo(frame), True)
        exported.check(frame, seen(points, poses[frame].numpy(), matrices[frame].numpy()), model, False)
        centered = packet["intrinsics"][0, frame].numpy() + [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
        exported.check(frame, seen(points, packet["extrinsics"][0, frame].numpy(), centered), model, False)


def test_viewer(exported: Exported) -> None:
    vertex = plyfile.PlyData.read(exported.folder / "view" / "points.ply")["vertex"]
    points = np.stack([vertex[name] for name in "xyz"], axis=1).astype(np.float64) * FLIP
    for camera in json.loads((exported.folder / "view" / "cameras.json").read_text())["cameras"]:
        frame = camera["frame"]
        pose = np.diag([*FLIP, 1]) @ np.array(camera["camera_to_world"]) @ np.diag([*FLIP, 1])
        pixels = seen(points[vertex["view_id"] == frame], np.linalg.inv(pose), camera["intrinsics"])
        assert camera["size"] == list(exported.scene.image_size[::-1])
        exported.check(frame, pixels, exported.scene.images[frame], False)
        with Image.open(io.BytesIO(base64.b64decode(camera["thumbnail"].split(",")[1]))) as picture:
            assert abs(picture.width / picture.height - camera["size"][0] / camera["size"][1]) < 0.02


def test_glb(exported: Exported) -> None:
    gltf = pygltflib.GLTF2().load(str(exported.folder / "out" / "scene.glb"))
    accessor = gltf.accessors[gltf.meshes[gltf.nodes[0].mesh].primitives[0].attributes.POSITION]
    start = gltf.bufferViews[accessor.bufferView].byteOffset
    points = np.frombuffer(gltf.binary_blob(), np.float32, 3 * accessor.count, start).reshape(-1, 3).astype(np.float64)
    height, width = exported.scene.image_size
    off_center = 0.02 + np.abs(exported.scene.pixel_center - 0.5)  # glTF has no principal point
    for node in filter(lambda each: each.camera is not None, gltf.nodes):
        frame = node.extras["frame"]
        local = np.c_[points, np.ones(len(points))][exported.cloud.frame == frame]
        local = (local @ np.linalg.inv(np.reshape(node.matrix, (4, 4)).T).T)[:, :3]
        lens = gltf.cameras[node.camera].perspective
        half = np.tan(lens.yfov / 2)
        screen = local[:, :2] / -local[:, 2:] / (half * lens.aspectRatio, half)
        pixels = (screen * (1, -1) + 1) / 2 * (width, height)
        exported.check(frame, pixels, exported.scene.images[frame], False, off_center)
        pixels = seen(local * FLIP, np.eye(3, 4), node.extras["intrinsics"])
        assert node.extras["size"] == [width, height]
        exported.check(frame, pixels, exported.scene.images[frame], False)


def test_comfyui_viewer_camera(exported: Exported) -> None:
    height, width = exported.scene.image_size
    for frame, points in exported.frames():
        camera = viewer_camera(exported.scene, frame)
        turn = quaternion_to_rotation(torch.tensor([camera["quaternion"][axis] for axis in "xyzw"]).double()).numpy()
        local = (points * FLIP - [camera["position"][axis] for axis in "xyz"]) @ turn
        half = np.tan(np.radians(camera["fov"]) / 2)
        pixels = (local[:, :2] / -local[:, 2:] / (half * camera["aspect"], half) * (1, -1) + 1) / 2 * (width, height)
        off_center = 0.02 + np.abs(exported.scene.pixel_center - 0.5)
        exported.check(frame, pixels, exported.scene.images[frame], False, off_center)
