"""GLB (binary glTF 2.0): the cloud as points, every camera as a small wire frustum and as a glTF camera.

Axes are glTF's: x right, y up, z backward. glTF wants vertex colours in linear light, so that is how they are stored
(as floats, exact both ways); viewers that follow the standard then show the photos' own colours.

A glTF camera has a field of view and an aspect ratio, but no principal point: it looks through the middle of the image.
Where the principal point lies elsewhere, by half a pixel for VGGT, the node's extras have the whole of it: `intrinsics`
(3, 3), in pixels of `size` (width, height), measured from the image's top left corner, x right and y down.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..frustum import EDGES, frame_colors, frustum_corners, frustum_depth
from ..pointcloud import PointCloud
from ..reconstruction import Reconstruction
from ..soundness import sound_with_cloud
from ..verdict import confidence_of_views, verdict
from .atomic import PathLike, new_file
from .axes import FLIP, field_of_view, pose_to_y_up, to_y_up

UNSIGNED_BYTE, UNSIGNED_INT, FLOAT = 5121, 5125, 5126
POINTS, ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 0, 34962, 34963
TUBE_SHARE = 0.02  # thickness of a frustum's edges, as a share of its depth


def write_glb(
    cloud: PointCloud,
    reconstruction: Reconstruction | None,
    path: PathLike,
    *,
    cameras: bool = True,
    linear_colors: bool = True,
    extras: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes the cloud, and the cameras if there is a reconstruction.

    linear_colors: False stores sRGB numbers as they are, for programs that take vertex colours at face value.
    extras: put into `asset.extras`; a value under "workflow" lets ComfyUI restore the graph from the file.
    """
    if reconstruction is not None:
        reconstruction, cloud = sound_with_cloud(reconstruction, cloud)
    document = _Document(extras)
    if len(cloud):
        document.add_points(cloud, linear_colors)
    if cameras and reconstruction is not None:
        document.add_cameras(reconstruction, frustum_depth(reconstruction, cloud.points))
        document.json["scenes"][0]["extras"] = {"verdict": verdict(reconstruction).to_dict()}
    with new_file(path, overwrite) as partial:
        document.save(partial)


def linear_from_srgb(colors: np.ndarray) -> np.ndarray:
    """Linear light, 0..1 float32, of sRGB colours uint8."""
    value = np.arange(256) / 255
    table = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return table.astype(np.float32)[colors]


class _Document:
    """A glTF document that grows: JSON parts beside the chunks of its one binary buffer."""

    def __init__(self, extras: dict[str, Any] | None) -> None:
        asset = {"version": "2.0", "generator": "ManyView"}
        if extras:
            asset["extras"] = extras
        self.json: dict[str, Any] = {"asset": asset, "scene": 0, "scenes": [{"nodes": []}], "nodes": []}
        self.chunks: list[bytes] = []
        self.size = 0

    def add_points(self, cloud: PointCloud, linear_colors: bool) -> None:
        attributes = {"POSITION": self._accessor(to_y_up(cloud.points), "VEC3", FLOAT, bounds=True)}
        if linear_colors:
            attributes["COLOR_0"] = self._accessor(linear_from_srgb(cloud.colors), "VEC3", FLOAT)
        else:  # four bytes, since glTF wants each vertex to begin at a multiple of four
            opaque = np.concatenate((cloud.colors, np.full((len(cloud), 1), 255, dtype=np.uint8)), axis=1)
            attributes["COLOR_0"] = self._accessor(opaque, "VEC4", UNSIGNED_BYTE, normalized=True)
        primitive = {"attributes": attributes, "mode": POINTS, "material": self._material("points", (1, 1, 1))}
        self._root(name="points", mesh=self._append("meshes", {"name": "points", "primitives": [primitive]}))

    def add_cameras(self, reconstruction: Reconstruction, depth: float) -> None:
        height, width = reconstruction.image_size
        intrinsics, confidence = reconstruction.corner_intrinsics(), confidence_of_views(reconstruction)
        corners = frustum_corners(intrinsics, (height, width), depth) @ FLIP[:3, :3]
        poses = pose_to_y_up(reconstruction.camera_to_world)
        colors = linear_from_srgb(frame_colors(len(reconstruction)))
        for frame, name in enumerate(reconstruction.names):
            vertices, triangles = _tubes(corners[frame], TUBE_SHARE * depth)
            primitive = {
                "attributes": {"POSITION": self._accessor(vertices, "VEC3", FLOAT, bounds=True)},
                "indices": self._accessor(triangles, "SCALAR", UNSIGNED_INT, target=ELEMENT_ARRAY_BUFFER),
                "material": self._material(f"camera {frame}", colors[frame].tolist()),
            }
            mesh = self._append("meshes", {"name": f"camera {frame}", "primitives": [primitive]})
            aspect, vertical = field_of_view(intrinsics[frame], (height, width))
            perspective = {"aspectRatio": aspect, "yfov": vertical, "znear": 0.01 * depth}
            camera = self._append("cameras", {"type": "perspective", "perspective": perspective})
            about = {
                "matrix": poses[frame].T.reshape(-1).tolist(),  # column by column
                "extras": {
                    "image": name,
                    "frame": frame,
                    "confidence": round(confidence[frame], 4),
                    "size": [width, height],
                    "intrinsics": intrinsics[frame].tolist(),
                },
            }
            self._root(name=f"camera {frame}: {name}", mesh=mesh, **about)
            self._root(name=f"view {frame}: {name}", camera=camera, **about)  # apart: some readers drop such nodes

    def save(self, path: Path) -> None:
        if self.size:
            self.json["buffers"] = [{"byteLength": self.size}]
        text = json.dumps(self.json, separators=(",", ":"), allow_nan=False).encode("utf-8")
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + (8 + self.size if self.size else 0)
        with path.open("wb") as file:
            file.write(b"glTF" + np.array([2, total], dtype="<u4").tobytes())
            file.write(np.array([len(text)], dtype="<u4").tobytes() + b"JSON" + text)
            if self.size:
                file.write(np.array([self.size], dtype="<u4").tobytes() + b"BIN\0")
                for chunk in self.chunks:
                    file.write(chunk)

    def _append(self, kind: str, value: dict[str, Any]) -> int:
        self.json.setdefault(kind, []).append(value)
        return len(self.json[kind]) - 1

    def _root(self, **node: Any) -> None:
        self.json["scenes"][0]["nodes"].append(self._append("nodes", node))

    def _accessor(
        self,
        array: np.ndarray,
        shape: str,
        component: int,
        *,
        bounds: bool = False,
        normalized: bool = False,
        target: int = ARRAY_BUFFER,
    ) -> int:
        data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        view = {"buffer": 0, "byteOffset": self.size, "byteLength": len(data), "target": target}
        self.chunks.append(data + b"\0" * (-len(data) % 4))
        self.size += len(self.chunks[-1])
        accessor = {"bufferView": self._append("bufferViews", view), "componentType": component}
        accessor |= {"count": len(array), "type": shape}
        if bounds:
            accessor |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        if normalized:
            accessor["normalized"] = True
        return self._append("accessors", accessor)

    def _material(self, name: str, color: tuple[float, float, float] | list[float]) -> int:
        self.json["extensionsUsed"] = ["KHR_materials_unlit"]  # colours as they are, without lamps
        return self._append(
            "materials",
            {
                "name": name,
                "doubleSided": True,
                "pbrMetallicRoughness": {"baseColorFactor": [*color, 1.0], "metallicFactor": 0, "roughnessFactor": 1},
                "extensions": {"KHR_materials_unlit": {}},
            },
        )


def _tubes(corners: np.ndarray, thickness: float) -> tuple[np.ndarray, np.ndarray]:
    """The edges of one frustum as square tubes: vertices (V, 3) float32 and triangle indices (T,) uint32."""
    vertices, triangles = [], []
    ring = np.array([0, 1, 5, 0, 5, 4, 1, 2, 6, 1, 6, 5, 2, 3, 7, 2, 7, 6, 3, 0, 4, 3, 4, 7], dtype=np.uint32)
    for start, end in EDGES:
        along = corners[end] - corners[start]
        along = along / np.linalg.norm(along)
        across = np.cross(along, np.eye(3)[np.argmin(np.abs(along))])
        across = across / np.linalg.norm(across)
        other = np.cross(along, across)
        square = 0.5 * thickness * np.array([across + other, across - other, -across - other, -across + other])
        triangles.append(ring + 8 * len(vertices))
        vertices.append(np.concatenate((corners[start] + square, corners[end] + square)))
    return np.concatenate(vertices).astype(np.float32), np.concatenate(triangles)
