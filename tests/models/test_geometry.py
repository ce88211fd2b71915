"""Geometry agrees with the published functions and with itself."""

import importlib.util

import numpy as np
import pytest
import torch

from manyview.models import geometry


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "geometry.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def agrees(shared, golden):
    spec = importlib.util.spec_from_file_location("golden_compare", shared / "golden" / "compare.py")
    compare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compare)

    def agree(key, candidate):
        good, text = compare.check(key, np.asarray(candidate), golden[key], list(golden))
        assert good, f"{key}: {text}"

    return agree


def random_cameras(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    quaternion = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    rotation = geometry.quaternion_to_rotation(quaternion)
    translation = torch.randn(count, 3, 1, generator=generator, dtype=torch.float64)
    focal = 30 + 20 * torch.rand(count, generator=generator, dtype=torch.float64)
    return torch.cat((rotation, translation), -1), geometry.make_intrinsics(focal, 1.1 * focal, (30, 42))


def test_quaternions_agree(golden, agrees):
    tensor = {key: torch.from_numpy(value) for key, value in golden.items() if key.startswith(("quat", "mat_"))}
    agrees("quat_to_mat/out/mat", geometry.quaternion_to_rotation(tensor["quat_to_mat/in/quat_xyzw"]))
    agrees("mat_to_quat/out/quat_xyzw", geometry.rotation_to_quaternion(tensor["mat_to_quat/in/mat"]))


def test_pose_encoding_agrees(golden, agrees):
    given = {key: torch.from_numpy(value) for key, value in golden.items() if key.startswith("pose_")}
    size = tuple(golden["pose_encode/in/image_hw"].tolist())
    agrees(
        "pose_encode/out/pose_enc",
        geometry.encode_pose(given["pose_encode/in/extrinsics"], given["pose_encode/in/intrinsics"], size),
    )
    size = tuple(golden["pose_decode/in/image_hw"].tolist())
    for case, pose in (("pose_decode", "pose_decode/in/pose_enc"), ("pose_roundtrip", "pose_encode/out/pose_enc")):
        world_to_camera, intrinsics = geometry.decode_pose(given[pose], size)
        agrees(f"{case}/out/extrinsics", world_to_camera)
        agrees(f"{case}/out/intrinsics", intrinsics)


def test_inverse_poses_agree(golden, agrees):
    agrees("se3_inverse/out/torch34", geometry.invert_pose(torch.from_numpy(golden["se3_inverse/in/T34"])))
    for rows in ("34", "44"):
        pose = torch.from_numpy(golden[f"se3_inverse/in/T{rows}"]).double()
        agrees(f"se3_inverse/out/numpy{rows}", geometry.invert_pose(pose))
    agrees("pi3_se3_inverse/out/T", geometry.invert_pose(torch.from_numpy(golden["pi3_se3_inverse/in/T"])))


def test_projection_and_unprojection_agree(golden, agrees):
    given = {key: torch.from_numpy(value) for key, value in golden.items() if key.startswith(("unproject", "project"))}
    depth = given["unproject/in/depth"][..., 0]
    world_to_camera, intrinsics = given["unproject/in/extrinsics"], given["unproject/in/intrinsics"]
    agrees("unproject/out/world_points", geometry.unproject_depth(depth, world_to_camera, intrinsics))
    agrees("unproject/out/cam_points_frame0", geometry.unproject_to_camera(depth[0], intrinsics[0]))
    pixels, camera = geometry.project_points(
        given["project/in/points"], given["project/in/extrinsics"], given["project/in/intrinsics"]
    )
    agrees("project/out/image_points", pixels)
    agrees("project/out/cam_points", camera.mT)


def test_pixel_grid_and_depth_edges_agree(golden, agrees):
    height, width = golden["pi3_pixels/in/h_w"].tolist()
    x, y = geometry.pixel_grid(height, width, torch.zeros(1, dtype=torch.float64), pixel_center=0.5)
    x, y = torch.broadcast_tensors(x, y)
    agrees("pi3_pixels/out/uv1", torch.stack((x.flatten(), y.flatten(), torch.ones(height * width))))
    depth = torch.from_numpy(golden["pi3_depth_edge/in/depth"])
    agrees("pi3_depth_edge/out/edge_rtol_0p03", geometry.depth_edges(depth, 0.03))
    agrees("pi3_depth_edge/out/edge_rtol_0p3", geometry.depth_edges(depth, 0.3))


def test_quaternion_round_trip_includes_half_turns():
    half_turns = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0.6, 0.8, 0, 0]])
    generator = torch.Generator().manual_seed(1)
    quaternions = torch.cat((half_turns, torch.randn(50, 4, generator=generator))).double()
    quaternions = quaternions / quaternions.norm(dim=-1, keepdim=True)
    found = geometry.rotation_to_quaternion(geometry.quaternion_to_rotation(quaternions))
    assert (found[:, 3] >= 0).all()
    torch.testing.assert_close((found * quaternions).sum(-1).abs(), torch.ones(55, dtype=torch.float64))


def test_gradients_are_right_and_finite():
    world_to_camera, intrinsics = random_cameras(3)
    pose = geometry.encode_pose(world_to_camera, intrinsics, (30, 42)).requires_grad_()
    depth = 1 + torch.rand(3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def points(nine):
        camera, matrix = geometry.decode_pose(nine, (30, 42))
        return geometry.unproject_depth(depth, camera, matrix)

    assert torch.autograd.gradcheck(points, (pose,))
    rotation = world_to_camera[..., :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(geometry.rotation_to_quaternion, (rotation,))
    identity = torch.eye(3, requires_grad=True)
    geometry.rotation_to_quaternion(identity).sum().backward()
    assert torch.isfinite(identity.grad).all()


@pytest.mark.parametrize("pixel_center", [0.0, 0.5])
def test_unprojected_pixels_project_onto_themselves(pixel_center):
    world_to_camera, intrinsics = random_cameras(2)
    depth = 1 + torch.rand(2, 30, 42, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    points = geometry.unproject_depth(depth, world_to_camera, intrinsics, pixel_center)
    pixels, camera = geometry.project_points(points.flatten(1, 2), world_to_camera, intrinsics)
    x, y = torch.broadcast_tensors(*geometry.pixel_grid(30, 42, depth, pixel_center))
    torch.testing.assert_close(pixels.view(2, 30, 42, 2), torch.stack((x, y), -1).expand(2, -1, -1, -1))
    torch.testing.assert_close(camera[..., 2].view(2, 30, 42), depth)


def test_leading_dimensions_are_free():
    world_to_camera, intrinsics = random_cameras(6)
    depth = torch.ones(6, 3, 4, dtype=torch.float64)
    flat = geometry.unproject_depth(depth, world_to_camera, intrinsics)
    shaped = geometry.unproject_depth(
        depth.view(2, 3, 3, 4), world_to_camera.view(2, 3, 3, 4), intrinsics.view(2, 3, 3, 3)
    )
    torch.testing.assert_close(shaped.flatten(0, 1), flat)
    torch.testing.assert_close(geometry.unproject_depth(depth[0], world_to_camera[0], intrinsics[0]), flat[0])


def test_intrinsics_are_recovered_from_points():
    _, intrinsics = random_cameras(4)
    generator = torch.Generator().manual_seed(4)
    depth = 1 + torch.rand(4, 30, 42, dtype=torch.float64, generator=generator)
    points = geometry.unproject_to_camera(depth, intrinsics, pixel_center=0.5)
    torch.testing.assert_close(geometry.recover_intrinsics(points), intrinsics)
    damaged = points.clone()
    damaged[:, :10] = torch.randn(4, 10, 42, 3, dtype=torch.float64, generator=generator)
    damaged[:, 10] = float("nan")
    weights = torch.ones(4, 30, 42, dtype=torch.float64)
    weights[:, :10] = 0
    torch.testing.assert_close(geometry.recover_intrinsics(damaged, weights), intrinsics)
    rough = geometry.recover_intrinsics(points + 0.01 * torch.randn(points.shape, generator=generator), None)
    torch.testing.assert_close(rough, intrinsics, rtol=0.02, atol=0)


def test_intrinsics_of_nothing_usable_stay_finite():
    assert torch.isfinite(geometry.recover_intrinsics(torch.zeros(1, 6, 8, 3))).all()


def test_wrong_inputs_are_refused():
    with pytest.raises(ValueError, match="3, 4"):
        geometry.invert_pose(torch.zeros(3, 3))
    with pytest.raises(ValueError, match="odd"):
        geometry.depth_edges(torch.ones(4, 4), window=2)
