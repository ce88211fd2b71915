"""What worlds are made of: meshes with their ray-query trees and pictures with mip levels, on one device."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from .assets import SIDE, TEXTURE_FORMATS, read_mesh
from .shapes import GROUPS, Shape, procedural_shapes

LEVELS = 9  # 256, 128 ... 1
TEXELS = sum((SIDE >> level) ** 2 for level in range(LEVELS))  # of one picture
PICTURE_KINDS = ("texture", "photo", "sky")


@dataclass
class Library:
    """Meshes sorted by group and pictures sorted by kind; the first index and the number of each."""

    device: torch.device
    meshes: list  # wp.Mesh, kept alive here
    mesh_ids: Tensor  # (M,) int64
    extents: Tensor  # (M, 3) half sizes of the mesh itself, the largest 1
    face_start: Tensor  # (M,) int32 into face_slots
    face_slots: Tensor  # all triangles, int32
    group_first: Tensor  # (GROUPS,)
    group_count: Tensor  # (GROUPS,)
    atlas: Tensor  # (pictures * TEXELS,) int32: blue, green, red bytes from the top
    picture_first: dict[str, int]
    picture_count: dict[str, int]


def load_library(packs: list[Path], device: torch.device | str, seed: int = 0, share: float = 1.0) -> Library:
    """Procedural shapes (`share` of them) and everything in the packs; without packs, pictures of smooth noise."""
    shapes = procedural_shapes(seed, share)
    pictures: dict[str, list[np.ndarray]] = {kind: [] for kind in PICTURE_KINDS}
    for path in packs:
        with zipfile.ZipFile(path) as pack:
            for name in sorted(pack.namelist()):
                kind = name.split("/")[0]
                if kind == "mesh":
                    shapes.append(Shape.make("prop", read_mesh(pack.read(name))))
                elif kind in pictures:
                    pictures[kind].append(decode(pack.read(name)))
    for kind in PICTURE_KINDS:
        if not pictures[kind]:
            pictures[kind] = noise_pictures(seed, 8)
    return make_library(shapes, pictures, torch.device(device))


def decode(data: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=TEXTURE_FORMATS) as opened:
        return np.asarray(opened.convert("RGB"))


def noise_pictures(seed: int, count: int) -> list[np.ndarray]:
    """Coloured noise at several scales, (SIDE, SIDE, 3) uint8."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, 3, SIDE, SIDE)
    for side in (4, 16, 64, SIDE):
        part = torch.randn(count, 3, side, side, generator=generator)
        total += 0.18 * interpolate(part, (SIDE, SIDE), mode="bilinear", align_corners=False)
    return list(((total + 0.5).clamp(0, 1) * 255).byte().permute(0, 2, 3, 1).numpy())


def make_library(shapes: list[Shape], pictures: dict[str, list[np.ndarray]], device: torch.device) -> Library:
    import warp as wp

    shapes = sorted(shapes, key=lambda shape: GROUPS.index(shape.group))
    where = str(device) if device.type == "cuda" else "cpu"
    meshes, starts, total = [], [], 0
    for shape in shapes:
        meshes.append(
            wp.Mesh(
                points=wp.array(shape.vertices, dtype=wp.vec3, device=where),
                velocities=wp.array(vertex_normals(shape), dtype=wp.vec3, device=where),  # only carried along
                indices=wp.array(shape.faces.ravel(), dtype=wp.int32, device=where),
            )
        )
        starts.append(total)
        total += len(shape.faces)
    counts = [sum(shape.group == group for shape in shapes) for group in GROUPS]
    kinds = [len(pictures[kind]) for kind in PICTURE_KINDS]
    return Library(
        device=device,
        meshes=meshes,
        mesh_ids=torch.tensor([mesh.id for mesh in meshes], dtype=torch.int64, device=device),
        extents=torch.tensor(np.stack([np.abs(s.vertices).max(0) for s in shapes])).clamp(min=0.01).to(device),
        face_start=torch.tensor(starts, dtype=torch.int32, device=device),
        face_slots=torch.from_numpy(np.concatenate([s.slots for s in shapes])).int().to(device),
        group_first=torch.tensor(np.cumsum([0, *counts[:-1]]), device=device),
        group_count=torch.tensor(counts, device=device),
        atlas=torch.cat([mip_levels(pictures[kind], device) for kind in PICTURE_KINDS]),
        picture_first=dict(zip(PICTURE_KINDS, np.cumsum([0, *kinds[:-1]]).tolist(), strict=True)),
        picture_count=dict(zip(PICTURE_KINDS, kinds, strict=True)),
    )


def vertex_normals(shape: Shape) -> np.ndarray:
    """Area-weighted normals (V, 3) of unit length."""
    a, b, c = (shape.vertices[shape.faces[:, corner]] for corner in range(3))
    normal = np.cross(b - a, c - a)
    total = np.zeros_like(shape.vertices)
    for corner in range(3):
        np.add.at(total, shape.faces[:, corner], normal)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def mip_levels(pictures: list[np.ndarray], device: torch.device, at_once: int = 256) -> Tensor:
    """Pictures (SIDE, SIDE, 3) uint8 with all smaller levels, one after another, packed into int32."""
    packed = []
    for start in range(0, len(pictures), at_once):
        level = torch.from_numpy(np.stack(pictures[start : start + at_once])).to(device).permute(0, 3, 1, 2).float()
        rows = []
        while True:
            r, g, b = level.round().int().flatten(2).unbind(1)
            rows.append(r | (g << 8) | (b << 16))
            if level.shape[-1] == 1:
                break
            level = avg_pool2d(level, 2)
        packed.append(torch.cat(rows, 1).flatten())
    return torch.cat(packed)
