"""NPZ files of any content: a reconstruction comes out, or one sentence, and no more memory than the limit is taken.

`--fuzz-cases 450` is the long run; each number is one file, always the same.
"""

import functools
import io
import json
import random
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manyview.nodes.report import report_text
from manyview.scene.export import read_npz
from manyview.scene.export.npz import write_npz
from manyview.scene.pointcloud import point_cloud
from manyview.scene.reconstruction import Reconstruction

Arrays = dict[str, Any]
SHAPES = (
    (),
    (0,),
    (1,),
    (2,),
    (2, 4),
    (1, 2, 3),
    (2, 0, 4),
    (3, 4, 6, 3),
    (2, 4, 6),
    (2, 3, 4),
    (2, 6, 4, 3),
    (2, 1, 1),
)
DTYPES = ("bool", "int8", "uint8", "int64", "uint64", "float16", "float32", "float64", ">f4", ">f8", ">i8", "complex64")
DTYPES = (*DTYPES, "U5", "S5", "datetime64[s]", "longdouble", "V8")
VALUES = (
    0,
    -1,
    3,
    1e300,
    None,
    True,
    "x",
    "",
    [],
    [None],
    [3],
    ["a"],
    ["a", "b"],
    ["a", 3],
    {},
    {"a": "b"},
    {"a": None},
)
VALUES = (*VALUES, [1, 2], [-1, 2], ["\x00", "\ud800"], ["../../etc/x", "C:\\x"], ["n" * 5000, "b"], 10**400)
TEXTS = ("", "null", "3", "[]", "{}", "not json", "[" * 100_000, '{"a": ' * 2000 + "1" + "}" * 2000, '{"names": NaN}')
TEXTS = (*TEXTS, '{"names": ["a", "b"], "names": ["a", "b"]}', '{"pixel_center": 1e999}', "9" * 20_000)


@pytest.mark.filterwarnings("error")
def test_any_file_is_read_or_refused(fuzz_cases: int, tmp_path: Path) -> None:
    refused = 0
    for number in range(fuzz_cases):
        path = hostile(number, tmp_path)
        try:
            run(path)
        except ValueError as error:
            refused += 1
            text = str(error)
            assert len(text) < 1500 and text.endswith(".") and path.name in text, (number, text[:300])
        path.unlink()
    assert fuzz_cases / 3 < refused < fuzz_cases


def run(path: Path) -> None:
    """Read a file and use what it holds, as a filter or an export would."""
    scene = read_npz(path)
    assert len(scene) == len(scene.names) == len(scene.images)
    assert scene.depth.dtype == np.float32 and scene.world_to_camera.dtype == np.float64
    point_cloud(scene)
    scene.original_intrinsics()
    scene.confidence_rank()
    report_text(scene)
    assert len(repr(scene)) < 3000 and scene._repr_html_()


def hostile(number: int, folder: Path) -> Path:
    """The file of this number."""
    draw = random.Random(number)
    arrays = {name: array.copy() for name, array in good().items()}
    path = folder / f"{number}.npz"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path.write_bytes(KINDS[number % len(KINDS)](draw, arrays))
    return path


@functools.cache
def good() -> Arrays:
    """The arrays of a small scene that is whole."""
    random_ = np.random.default_rng(0)
    frames, height, width = 2, 4, 6
    scene = Reconstruction(
        images=random_.integers(0, 255, (frames, height, width, 3), dtype=np.uint8),
        depth=random_.uniform(1, 2, (frames, height, width)).astype(np.float32),
        confidence=random_.uniform(0, 1, (frames, height, width)).astype(np.float32),
        world_to_camera=np.tile(np.eye(4)[:3], (frames, 1, 1)),
        intrinsics=np.tile(np.array([[5.0, 0, 3], [0, 5, 2], [0, 0, 1]]), (frames, 1, 1)),
        names=("a.jpg", "b.jpg"),
        original_sizes=np.full((frames, 2), 100, dtype=np.int64),
        scale_offset=np.tile(np.array([2.0, 2, 0, 0]), (frames, 1)),
        world_points=random_.normal(size=(frames, height, width, 3)).astype(np.float32),
        masks=np.ones((frames, height, width), dtype=bool),
        paths=(Path("a.jpg"), None),
        timings={"encoder": 1.5},
        density=np.ones((2, 3), dtype=np.float32),
    )
    plain = scene.to_dict()
    arrays = {name: value for name, value in plain.items() if isinstance(value, np.ndarray)}
    meta = {name: value for name, value in plain.items() if name not in arrays}
    return {**arrays, "meta": np.array(json.dumps(meta))}


def saved(arrays: Arrays, compress: bool = False) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(file, **arrays)
    return file.getvalue()


def described(arrays: Arrays, change: Callable[[dict], None]) -> Arrays:
    meta = json.loads(str(arrays["meta"]))
    change(meta)
    return {**arrays, "meta": np.array(json.dumps(meta))}


def any_name(draw: random.Random, arrays: Arrays) -> str:
    return draw.choice([name for name in arrays if name != "meta"])


def other_shape(draw: random.Random, arrays: Arrays) -> bytes:
    name = any_name(draw, arrays)
    arrays[name] = np.zeros(draw.choice(SHAPES), dtype=arrays[name].dtype)
    return saved(arrays)


def other_type(draw: random.Random, arrays: Arrays) -> bytes:
    name, dtype = draw.choice(list(arrays)), draw.choice(DTYPES)
    shape = arrays[name].shape
    numeric = arrays[name].dtype.kind != "U" and np.dtype(dtype).kind in "biuf"
    arrays[name] = arrays[name].astype(dtype) if numeric else np.zeros(shape, dtype)
    return saved(arrays)


def other_numbers(draw: random.Random, arrays: Arrays) -> bytes:
    name = any_name(draw, arrays)
    value = draw.choice((float("nan"), float("inf"), -float("inf"), 1e300, 0, -1, 1e-300))
    flat = arrays[name].reshape(-1)
    with np.errstate(all="ignore"):
        changed = np.array([value]).astype(flat.dtype)
    if draw.random() < 0.4:
        flat[:] = changed
    else:
        flat[draw.randrange(flat.size)] = changed[0]
    return saved(arrays, draw.random() < 0.5)


def lost_or_added(draw: random.Random, arrays: Arrays) -> bytes:
    if draw.random() < 0.5:
        del arrays[draw.choice(list(arrays))]
        return saved(arrays)
    name = draw.choice(
        ("x", "tracks_x", "tracks_positions", "names", "model", "cloud_points", "../x", "settings", "depth.npy")
    )
    arrays[name] = np.zeros(draw.choice(SHAPES))
    return saved(arrays)


def objects(draw: random.Random, arrays: Arrays) -> bytes:
    arrays[draw.choice(list(arrays))] = np.array([{"a": 1}, None], dtype=object)
    return saved(arrays)


def other_meta(draw: random.Random, arrays: Arrays) -> bytes:
    if draw.random() < 0.2:
        return saved({**arrays, "meta": np.array(draw.choice(TEXTS))})

    def change(meta: dict) -> None:
        name = draw.choice([*meta, "depth", "unknown", "tracks", "verdict", "__class__"])
        if draw.random() < 0.2:
            meta.pop(name, None)
        else:
            meta[name] = draw.choice(VALUES)

    return saved(described(arrays, change))


def damaged_bytes(draw: random.Random, arrays: Arrays) -> bytes:
    content = bytearray(saved(arrays, draw.random() < 0.5))
    directory = content.rfind(b"PK\x01\x02", 0, len(content) // 2 + 1)
    places = [draw.randrange(len(content)), draw.randrange(200), draw.randrange(max(directory, 1), len(content))]
    for _ in range(draw.choice((1, 1, 2, 20))):
        content[draw.choice(places) if draw.random() < 0.5 else draw.randrange(len(content))] = draw.randrange(256)
    if draw.random() < 0.3:
        del content[draw.randrange(len(content)) :]
    return bytes(content)


def lying_header(draw: random.Random, arrays: Arrays) -> bytes:
    """An array whose header says something else than the file holds."""
    name = any_name(draw, arrays)
    headers = (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 100000, 100), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4, 6), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2.0, 4, 6), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2, 4, 6), }",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 4, 6), }",
        "{'descr': '<f4', 'fortran_order': 3, 'shape': (2, 4, 6), }",
        "{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (2, 4, 3), }",
        "{'descr': '<U100000000', 'fortran_order': False, 'shape': (), }",
        "{'descr': '" + "[" * 3000 + "', 'fortran_order': False, 'shape': (), }",
        "{'shape': ()}",
        "[" * 5000,
        "(" * 9000 + ")" * 9000,
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4, " + "9" * 6000 + "), }",
        "__import__('os')",
        "1+" * 3000 + "1",
        "",
    )
    header = draw.choice(headers).encode() + b"\n"
    start = b"\x93NUMPY" + draw.choice((b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x09"))
    start += struct.pack("<H" if start[6] == 1 else "<I", draw.choice((len(header), len(header), 65535, 0)))
    file = io.BytesIO(saved({each: array for each, array in arrays.items() if each != name}))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(f"{name}.npy", start + header + arrays[name].tobytes())
    return file.getvalue()


def bomb(draw: random.Random, arrays: Arrays) -> bytes:
    """A small file that would fill gigabytes."""
    file, how = io.BytesIO(saved(arrays, True)), draw.randrange(4)
    frames = draw.choice((30, 400))
    if how == 0:
        arrays |= {"depth": np.zeros((frames, 300, 400), np.float32)}
        return saved(arrays, True)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        if how == 1:
            for number in range(1500):
                archive.writestr(f"x{number}.npy", b"")
        elif how == 2:
            archive.writestr("depth.npy", bytes(1 << 20))
        else:
            archive.writestr("meta", "x" * (1 << 20))
    content = bytearray(file.getvalue())
    if how == 3:
        place = content.rfind(b"PK\x01\x02")
        content[place + 24 : place + 28] = struct.pack("<I", draw.choice((0, 1, 1 << 31, (1 << 32) - 1)))
    return bytes(content)


def no_npz(draw: random.Random, arrays: Arrays) -> bytes:
    file = io.BytesIO()
    np.save(file, arrays["depth"])
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    locked = bytearray(saved(arrays))
    place = -1
    while (place := locked.find(b"PK\x01\x02", place + 1)) >= 0:
        locked[place + 8] |= draw.choice((0, 1))
        locked[place + 10] = draw.choice((0, 8, 9, 12, 14, 99))
    return draw.choice(
        (b"", b"PK", b"PK\x05\x06" + bytes(18), file.getvalue(), empty.getvalue(), bytes(locked), b"\x80\x04.")
    )


KINDS = (
    other_shape,
    other_type,
    other_numbers,
    other_meta,
    lost_or_added,
    damaged_bytes,
    lying_header,
    other_meta,
    other_numbers,
    objects,
    bomb,
    no_npz,
)


def test_a_small_file_that_would_fill_gigabytes(tmp_path: Path) -> None:
    """Refused by its directory and its headers: nothing of it is unpacked."""
    path, file, header = tmp_path / "bomb.npz", io.BytesIO(), io.BytesIO()
    shape = (600, 800, 1000)
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    file.write(saved({name: array for name, array in good().items() if name != "depth"}))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("depth.npy", header.getvalue() + bytes(1 << 20))
    content = bytearray(file.getvalue())
    place = content.rfind(b"PK\x01\x02") + 24  # how long the last entry is, says the directory
    content[place : place + 4] = struct.pack("<I", len(header.getvalue()) + 4 * 600 * 800 * 1000)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"its arrays would fill 1,9\d\d,\d\d\d,\d\d\d; 1,073,741,824 are allowed"):
        read_npz(path)


def test_what_is_mutated_is_good_before(tmp_path: Path) -> None:
    path = tmp_path / "good.npz"
    path.write_bytes(saved(good()))
    run(path)
    write_npz(read_npz(path), tmp_path / "again.npz")
    run(tmp_path / "again.npz")
