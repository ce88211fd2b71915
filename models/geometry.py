"""Cameras, poses and points as torch functions: any leading dimensions, float32 or float64, differentiable.

Cameras are OpenCV: x right, y down, z forward. A pose says its direction: `world_to_camera` is [R | t] with
X_camera = R X_world + t, shape (..., 3, 4) or (..., 4, 4). Quaternions are (x, y, z, w). Intrinsics are in pixels.

`pixel_center` is the coordinate that the intrinsics give to the centre of the first pixel: 0.0 in the published VGGT
functions (integers), 0.5 where the corner of the image is the origin (Pi3, COLMAP, everything we export).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def quaternion_to_rotation(quaternion: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4) in the order x, y, z, w; any non-zero length will do."""
    x, y, z, w = quaternion.unbind(-1)
    s = 2.0 / (quaternion * quaternion).sum(-1)
    rows = (
        (1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)),
        (s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)),
        (s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def rotation_to_quaternion(rotation: Tensor) -> Tensor:
    """Quaternions (..., 4) in the order x, y, z, w, with w >= 0, of rotation matrices (..., 3, 3).

    Of the four formulas the one with the largest divisor is used, so half turns keep their precision.
    """
    m = [[rotation[..., i, j] for j in range(3)] for i in range(3)]
    squares = torch.stack(  # 4 w^2, 4 x^2, 4 y^2, 4 z^2
        (
            1 + m[0][0] + m[1][1] + m[2][2],
            1 + m[0][0] - m[1][1] - m[2][2],
            1 - m[0][0] + m[1][1] - m[2][2],
            1 - m[0][0] - m[1][1] + m[2][2],
        ),
        -1,
    )
    xw, yw, zw = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    xy, xz, yz = m[1][0] + m[0][1], m[0][2] + m[2][0], m[2][1] + m[1][2]
    ww, xx, yy, zz = squares.unbind(-1)
    table = torch.stack(  # row c: 4 c (x, y, z, w) for c = w, x, y, z
        [torch.stack(row, -1) for row in ((xw, yw, zw, ww), (xx, xy, xz, xw), (xy, yy, yz, yw), (xz, yz, zz, zw))],
        -2,
    )
    best = squares.argmax(-1, keepdim=True)  # the first of equals
    row = table.gather(-2, best[..., None].expand(*best.shape, 4)).squeeze(-2)
    quaternion = row / (2 * squares.gather(-1, best).clamp_min(0.01).sqrt())
    return torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)


def encode_pose(world_to_camera: Tensor, intrinsics: Tensor, image_size: tuple[int, int]) -> Tensor:
    """VGGT's nine numbers (..., 9) of a camera: translation, quaternion xyzw, vertical and horizontal field of view.

    `image_size` is (H, W) in pixels of the intrinsics; the principal point is not encoded.
    """
    height, width = image_size
    quaternion = rotation_to_quaternion(world_to_camera[..., :3, :3])
    fov_h = 2 * torch.atan((height / 2) / intrinsics[..., 1, 1])
    fov_w = 2 * torch.atan((width / 2) / intrinsics[..., 0, 0])
    return torch.cat((world_to_camera[..., :3, 3], quaternion, fov_h[..., None], fov_w[..., None]), -1)


def decode_pose(pose: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Cameras of VGGT's nine numbers (..., 9): world_to_camera (..., 3, 4) and intrinsics (..., 3, 3) in pixels.

    `image_size` is (H, W); the principal point is its half. A field of view of 0 gives an infinite focal length.
    """
    height, width = image_size
    rotation = quaternion_to_rotation(pose[..., 3:7])
    world_to_camera = torch.cat((rotation, pose[..., :3, None]), -1)
    focal_y = (height / 2) / torch.tan(pose[..., 7] / 2)
    focal_x = (width / 2) / torch.tan(pose[..., 8] / 2)
    return world_to_camera, make_intrinsics(focal_x, focal_y, image_size)


def make_intrinsics(focal_x: Tensor, focal_y: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Matrices (..., 3, 3) of focal lengths (...) in pixels with the principal point at the half of (H, W)."""
    height, width = image_size
    zero, one = torch.zeros_like(focal_x), torch.ones_like(focal_x)
    rows = ((focal_x, zero, one * (width / 2)), (zero, focal_y, one * (height / 2)), (zero, zero, one))
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def invert_pose(pose: Tensor) -> Tensor:
    """The opposite direction (..., 4, 4) of rigid poses (..., 3, 4) or (..., 4, 4), in closed form."""
    if pose.ndim < 2 or tuple(pose.shape[-2:]) not in ((3, 4), (4, 4)):
        raise ValueError(f"Poses must be (..., 3, 4) or (..., 4, 4), got {tuple(pose.shape)}; pass [R | t] matrices.")
    rotation = pose[..., :3, :3].mT
    translation = -rotation @ pose[..., :3, 3:]
    bottom = pose.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*pose.shape[:-2], 1, 4)
    return torch.cat((torch.cat((rotation, translation), -1), bottom), -2)


def pixel_grid(height: int, width: int, like: Tensor, pixel_center: float = 0.0) -> tuple[Tensor, Tensor]:
    """Coordinates x (W,) and y (H, 1) of the pixels' centres, in the type and on the device of `like`."""
    x = torch.arange(width, device=like.device, dtype=like.dtype) + pixel_center
    y = torch.arange(height, device=like.device, dtype=like.dtype) + pixel_center
    return x, y[:, None]


def unproject_to_camera(depth: Tensor, intrinsics: Tensor, pixel_center: float = 0.0) -> Tensor:
    """Points (..., H, W, 3) in the camera's frame of depth maps (..., H, W); nothing is masked."""
    x, y = pixel_grid(*depth.shape[-2:], like=depth, pixel_center=pixel_center)
    k = intrinsics[..., None, None]  # (..., 3, 3, 1, 1)
    camera_x = (x - k[..., 0, 2, :, :]) * depth / k[..., 0, 0, :, :]
    camera_y = (y - k[..., 1, 2, :, :]) * depth / k[..., 1, 1, :, :]
    return torch.stack((camera_x, camera_y, depth), -1)


def unproject_depth(depth: Tensor, world_to_camera: Tensor, intrinsics: Tensor, pixel_center: float = 0.0) -> Tensor:
    """World points (..., H, W, 3) of depth maps (..., H, W) with their cameras; nothing is masked.

    The default takes pixel centres at integers, as the published VGGT does.
    """
    return transform_points(unproject_to_camera(depth, intrinsics, pixel_center), invert_pose(world_to_camera))


def transform_points(points: Tensor, pose: Tensor) -> Tensor:
    """R X + t for points (..., H, W, 3) and poses (..., 3, 4) or (..., 4, 4)."""
    rotation, translation = pose[..., None, :3, :3], pose[..., None, None, :3, 3]
    return points @ rotation.mT + translation


def project_points(points: Tensor, world_to_camera: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels (..., M, 2) of world points (..., M, 3), and the points in the camera's frame (..., M, 3).

    Leading dimensions broadcast. Points behind the camera (z <= 0) project too: mask them by the second result.
    """
    camera = points @ world_to_camera[..., :3, :3].mT + world_to_camera[..., None, :3, 3]
    image = camera @ intrinsics.mT  # (..., M, 3)
    return image[..., :2] / image[..., 2:], camera


def depth_edges(depth: Tensor, relative: float = 0.03, window: int = 3) -> Tensor:
    """True (..., H, W) where depth varies by more than `relative` of the pixel's own depth inside the window."""
    if window < 1 or window % 2 == 0:
        raise ValueError(f"The window of depth edges must be an odd number of pixels, got {window}; use 3 or 5.")
    maps = depth.reshape(-1, 1, *depth.shape[-2:])
    highest = F.max_pool2d(maps, window, stride=1, padding=window // 2)
    lowest = -F.max_pool2d(-maps, window, stride=1, padding=window // 2)
    return ((highest - lowest) / maps > relative).reshape(depth.shape)


def recover_intrinsics(local_points: Tensor, weights: Tensor | None = None, passes: int = 3) -> Tensor:
    """Intrinsics (..., 3, 3) that best explain points (..., H, W, 3) given in their own camera's frame.

    Least squares over the pixel error with the principal point at the half of the image and pixel centres at +0.5;
    `weights` (..., H, W) count the pixels, and every further pass trusts badly explained pixels less.
    """
    height, width = local_points.shape[-3:-1]
    points = local_points.double()
    depth = points[..., 2]
    usable = torch.isfinite(points).all(-1) & (depth > 0)
    rays = torch.where(usable[..., None], points[..., :2] / depth[..., None], 0.0)
    given = usable.double() if weights is None else torch.where(usable, weights.double(), 0.0)
    x, y = pixel_grid(height, width, like=rays, pixel_center=0.5)
    focals = []
    for ray, target in ((rays[..., 0], x - width / 2), (rays[..., 1], y - height / 2)):
        trust = given
        for _ in range(passes):
            square = (trust * ray * ray).sum((-2, -1))
            focal = (trust * ray * target).sum((-2, -1)) / square
            focal = torch.where((square > 0) & (focal > 0), focal, float(max(height, width)))
            error = (focal[..., None, None] * ray - target) / (0.01 * max(height, width))
            trust = given / (1 + error * error)
        focals.append(focal)
    return make_intrinsics(focals[0], focals[1], (height, width)).to(local_points.dtype)
