"""Free textures, photographs and meshes for training: fetched as Debian packages and packed into one file.

The pack is a zip: texture/*.jpg, photo/*.jpg and sky/*.jpg (squares of SIDE pixels), mesh/*.npz (see `read_mesh`) and
sources.json. The same packages and the same limits give the same pack. Nothing of it is part of the repository.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from ..models.progress import Progress

SIDE = 256
QUALITY = 78
PICTURES = (".jpg", ".jpeg", ".png", ".tga", ".webp")
TEXTURE_FORMATS = ("JPEG", "PNG", "TGA", "WEBP")  # the only ones that are opened
ARCHIVES = (".pk3", ".sh3f", ".zip")
MOST_FACES = 3000
SLOTS = 4  # materials a mesh can have


@dataclass(frozen=True)
class Source:
    """One Debian package: files whose path matches `pattern` become pictures or meshes of a kind."""

    package: str
    kind: str  # texture, photo, sky or mesh
    pattern: str
    licence: str
    limit: int  # pictures or meshes taken, evenly spaced over the sorted paths
    crops: int = 1  # cut out of every picture


SOURCES = (
    Source("gnome-backgrounds", "photo", r"backgrounds/gnome/", "CC BY 2.0, CC BY-SA 2.0 and 3.0, GPL 2+", 40, 16),
    Source("mate-backgrounds", "photo", r"mate/(nature|desktop)/", "GPL 2+ and CC BY-SA 4.0", 40, 24),
    Source("ukui-wallpapers", "photo", r"backgrounds/", "CC BY-SA 3.0", 40, 20),
    Source("plasma-workspace-wallpapers", "photo", r"/(5120|3840|2560)x\d+\.", "GPL 2+", 40, 8),
    Source("nexuiz-textures", "sky", r"/env/.*_(ft|bk|lf|rt)\.", "GPL 2+", 80),
    Source("openarena-081-textures", "sky", r"env/.*_(ft|bk|lf|rt)\.", "GPL 2+", 40),
    Source("nexuiz-textures", "texture", r"/textures/(?!.*_(norm|gloss|bump|glow|luma|shirt|pants))", "GPL 2+", 560),
    Source("openarena-081-textures", "texture", r"textures/(?!.*_(norm|gloss))", "GPL 2+", 420),
    Source(
        "ufoai-textures",
        "texture",
        r"textures/(?!.*_(nm|gm|sm|rm|norm|gloss))",
        "GPL 2+, CC BY-SA 3.0, public domain",
        560,
    ),
    Source(
        "supertuxkart-data",
        "texture",
        r"data/(textures|tracks)/.*\.(jpg|png)",
        "CC BY-SA 3.0 and 4.0, CC BY 3.0, CC0, GPL",
        420,
    ),
    Source("sweethome3d-furniture", "mesh", r"blendswap-cc-0/.*\.obj", "CC0 1.0", 200),
    Source("sweethome3d-furniture", "mesh", r"blendswap-cc-by/.*\.obj", "CC BY 3.0", 200),
    Source("sweethome3d-furniture", "mesh", r"(scopia|katorlegaz|reallusion).*\.obj", "CC BY 3.0", 160),
)


def build_pack(
    path: Path,
    folder: Path,
    sources: tuple[Source, ...] = SOURCES,
    share: float = 1.0,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Fetch what `folder` lacks of the packages and write the pack; returns how many of each kind it holds.

    `share` below 1 takes that part of every limit. Needs apt-get and dpkg-deb (Debian, Ubuntu).
    """
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise RuntimeError(f"{missing[0]} is needed to fetch the packages; run this on Debian or Ubuntu.")
    folder.mkdir(parents=True, exist_ok=True)
    counts: dict[str, int] = {}
    about = []
    temporary = path.with_suffix(".part")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as pack:
        for index, source in enumerate(sources):
            if progress is not None:
                progress("pack", index, len(sources))
            wanted = max(1, round(source.limit * share))
            taken = 0
            for _, data in entries(package_file(source.package, folder), source, wanted):
                make = mesh_parts if source.kind == "mesh" else picture_parts
                parts = make(data, source)
                for part, suffix in parts:
                    number = counts.get(source.kind, 0)
                    counts[source.kind] = number + 1
                    info = zipfile.ZipInfo(f"{source.kind}/{number:05d}{suffix}")
                    pack.writestr(info, part)
                taken += bool(parts)
            about.append({"package": source.package, "kind": source.kind, "licence": source.licence, "files": taken})
        pack.writestr(zipfile.ZipInfo("sources.json"), json.dumps(about, indent=1))
    temporary.replace(path)
    return counts


def package_file(package: str, folder: Path) -> Path:
    """The package's .deb file in `folder`, fetched with apt-get if it is not there."""
    found = sorted(folder.glob(f"{package}_*.deb"))
    if not found:
        subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, check=True)
        found = sorted(folder.glob(f"{package}_*.deb"))
    return found[-1]


def entries(package: Path, source: Source, limit: int) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of up to `limit` matching files, evenly spaced over the sorted paths; looks into archives."""
    endings = (".obj",) if source.kind == "mesh" else PICTURES
    found = [name for name in walk(package, None) if name.lower().endswith(endings) and matches(source, name)]
    found = sorted(set(found))
    chosen = {found[i] for i in np.linspace(0, len(found) - 1, min(limit, len(found))).astype(int)} if found else set()
    read = dict(walk(package, chosen))
    for name in sorted(chosen):
        yield name, read[name]


def matches(source: Source, name: str) -> bool:
    return re.search(source.pattern, name, re.IGNORECASE) is not None


def walk(package: Path, wanted: set[str] | None) -> Iterator:
    """Names of all files of a package and of archives in it; with `wanted`, (name, bytes) of those."""
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as tar,
    ):
        for member in tar:
            if not member.isfile():
                continue
            if member.name.lower().endswith(ARCHIVES):
                with zipfile.ZipFile(io.BytesIO(tar.extractfile(member).read())) as inner:
                    for name in inner.namelist():
                        full = f"{member.name}/{name}"
                        if wanted is None:
                            yield full
                        elif full in wanted:
                            yield full, inner.read(name)
            elif wanted is None:
                yield member.name
            elif member.name in wanted:
                yield member.name, tar.extractfile(member).read()


def picture_parts(data: bytes, source: Source) -> list[tuple[bytes, str]]:
    """JPEG files of SIDE x SIDE pixels; none of a picture that is tiny, flat or mostly transparent."""
    try:
        with Image.open(io.BytesIO(data), formats=TEXTURE_FORMATS) as opened:
            if min(opened.size) < 96 or max(opened.size) > 12000:
                return []
            if opened.format == "JPEG" and source.crops == 1:
                opened.draft("RGB", (2 * SIDE, 2 * SIDE))
            picture = opened.convert("RGBA")
    except (OSError, ValueError, SyntaxError):
        return []
    if np.asarray(picture.getchannel("A").resize((32, 32))).mean() < 200:
        return []
    picture = picture.convert("RGB")
    random = np.random.default_rng(len(data))
    parts = []
    for crop in range(source.crops):
        least = min(picture.size)
        side = least if source.crops == 1 else int(random.uniform(min(SIDE, least), least) if crop else least)
        left, top = (int(random.integers(0, length - side + 1)) for length in picture.size)
        cut = picture.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        if np.asarray(cut.convert("L")).std() < 6:
            continue
        buffer = io.BytesIO()
        cut.save(buffer, "JPEG", quality=QUALITY)
        parts.append((buffer.getvalue(), ".jpg"))
    return parts


def mesh_parts(data: bytes, source: Source) -> list[tuple[bytes, str]]:
    """One .npz of a Wavefront file with at most MOST_FACES triangles, centred, its longest side 2."""
    vertices, faces, slots = read_obj(data.decode("utf-8", "replace"))
    if len(faces) < 12:
        return []
    vertices = vertices[:, [0, 2, 1]] * [1.0, -1.0, 1.0]  # y up to z up
    low, high = vertices.min(0), vertices.max(0)
    vertices = (vertices - (low + high) / 2) * (2.0 / max((high - low).max(), 1e-9))
    vertices, faces, slots = simplified(vertices, faces, slots)
    if not 8 <= len(faces) <= 65000 or len(vertices) > 65535:
        return []
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        vertices=np.round(vertices * 32000).astype(np.int16),
        faces=faces.astype(np.uint16),
        slots=slots.astype(np.uint8),
    )
    return [(buffer.getvalue(), ".npz")]


def read_mesh(data: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3) float32 in [-1, 1], triangles (F, 3) int32 and material slots (F,) int32 of a mesh/*.npz."""
    with np.load(io.BytesIO(data)) as stored:
        vertices = stored["vertices"].astype(np.float32) / 32000
        return vertices, stored["faces"].astype(np.int32), stored["slots"].astype(np.int32)


def read_obj(text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles and material slots (the material's number modulo SLOTS) of a Wavefront file."""
    vertices, faces, slots, names, slot = [], [], [], {}, 0
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            vertices.append([float(word) for word in words[1:4]])
        elif words[0] == "usemtl":
            slot = names.setdefault(" ".join(words[1:]), len(names)) % SLOTS
        elif words[0] == "f":
            corners = [int(word.split("/")[0]) for word in words[1:]]
            corners = [corner - 1 if corner > 0 else len(vertices) + corner for corner in corners]
            for second, third in pairwise(corners[1:]):
                faces.append((corners[0], second, third))
                slots.append(slot)
    return np.array(vertices, np.float64).reshape(-1, 3), np.array(faces, np.int64).reshape(-1, 3), np.array(slots)


def simplified(
    vertices: np.ndarray, faces: np.ndarray, slots: np.ndarray, most: int = MOST_FACES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mesh with vertices merged on the finest grid that leaves at most `most` triangles."""
    result = vertices, faces, slots
    for cells in (400, 200, 140, 100, 72, 52, 38, 28, 20, 14):
        keys = np.round((vertices + 1.0) * (cells / 2)).astype(np.int64)
        _, first, index = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        index = index.reshape(-1)
        merged = index[faces]
        whole = (merged[:, 0] != merged[:, 1]) & (merged[:, 1] != merged[:, 2]) & (merged[:, 0] != merged[:, 2])
        ordered = np.sort(merged[whole], 1)
        _, unique = np.unique(ordered, axis=0, return_index=True)
        result = vertices[first], merged[whole][unique], slots[whole][unique]
        if len(result[1]) <= most:
            break
    return result
