"""The viewer's PLY reader against plyfile: every format and name that other programs write, in pieces of any size."""

import base64
from pathlib import Path

import numpy as np
import plyfile
import pytest

# Reads bytes in pieces and gives back the arrays, in the order of the file.
READ = """
async ([text, piece]) => {
    const { PlyReader } = await import("/web/viewer/data/ply.mjs");
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const reader = new PlyReader();
    try {
        for (let at = 0; at < bytes.length; at += piece) reader.push(bytes.subarray(at, at + piece));
        const { positions, colors, normals, confidence, frames, ...rest } = reader.finish();
        const list = (array) => array && [...array].map(String);
        return { ...rest, positions: list(positions), colors: list(colors), normals: list(normals),
            confidence: list(confidence), frames: list(frames) };
    } catch (problem) {
        if (!problem.key) throw problem;
        return { problem: problem.key, values: problem.values };
    }
}
"""
NAMES = ("x", "y", "z", "red", "green", "blue", "confidence", "view_id")


@pytest.fixture(scope="module")
def page(chromium, root: Path):
    """A page that may import the viewer's modules."""
    import functools
    import http.server
    import threading

    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(root))
    handler.func.log_message = lambda *arguments: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    page = chromium.new_page()
    page.goto(f"http://127.0.0.1:{server.server_port}/web/viewer/style.css")
    yield page
    page.close()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def read(page):
    """read(bytes, piece=...): what the reader makes of a file, as arrays of numbers."""

    def read_file(data: bytes, piece: int = 1 << 20) -> dict:
        found = page.evaluate(READ, [base64.b64encode(data).decode(), piece])
        arrays = ("positions", "colors", "normals", "confidence", "frames")
        for name in arrays:
            if found.get(name) is not None:
                found[name] = np.array([float(value) for value in found[name]])
        return found

    return read_file


def vertices(count: int = 37, **kinds: str) -> np.ndarray:
    """Random rows of a vertex element; `kinds` says the number format of each field."""
    kinds = kinds or {
        "x": "f4",
        "y": "f4",
        "z": "f4",
        "red": "u1",
        "green": "u1",
        "blue": "u1",
        "confidence": "f4",
        "view_id": "i4",
    }
    random = np.random.default_rng(0)
    rows = np.empty(count, dtype=list(kinds.items()))
    for name, kind in kinds.items():
        if np.dtype(kind).kind == "f":
            rows[name] = random.normal(size=count)
        else:
            rows[name] = random.integers(0, 200, count)
    return rows


def ply(rows: np.ndarray, tmp_path: Path, text: bool = False, order: str = "<", faces: bool = False) -> bytes:
    """The bytes that plyfile writes."""
    elements = [plyfile.PlyElement.describe(rows, "vertex")]
    if faces:
        triangles = np.empty(3, dtype=[("vertex_indices", "i4", (3,))])
        triangles["vertex_indices"] = [[0, 1, 2]] * 3
        elements.append(plyfile.PlyElement.describe(triangles, "face"))
    path = tmp_path / "cloud.ply"
    plyfile.PlyData(elements, text=text, byte_order="=" if text else order, comments=["end_header soon"]).write(
        str(path)
    )
    return path.read_bytes()


def places(rows: np.ndarray) -> np.ndarray:
    return np.stack([rows[axis] for axis in "xyz"], axis=1).astype(np.float32)


@pytest.mark.parametrize("piece", [7, 64, 1 << 20])
@pytest.mark.parametrize(("text", "order"), [(False, "<"), (False, ">"), (True, "<")])
def test_all_formats(read, tmp_path, text, order, piece):
    rows = vertices()
    found = read(ply(rows, tmp_path, text, order, faces=True), piece)
    assert found["count"] == found["announced"] == len(rows) and found["dropped"] == 0
    np.testing.assert_allclose(found["positions"].reshape(-1, 3), places(rows), rtol=1e-6)
    colors = found["colors"].reshape(-1, 4)[:, :3]
    np.testing.assert_array_equal(colors, np.stack([rows[name] for name in ("red", "green", "blue")], axis=1))
    np.testing.assert_allclose(found["confidence"], rows["confidence"], rtol=1e-6)
    np.testing.assert_array_equal(found["frames"], rows["view_id"])


def test_what_the_export_writes(read, truth):
    found = read((truth.folder / "points.ply").read_bytes()[:400_000])  # cut off: the rest counts as missing
    assert found["announced"] == len(truth.cloud) and found["dropped"] == len(truth.cloud) - found["count"]
    expected = truth.cloud.points[: found["count"]] * (1, -1, -1)
    np.testing.assert_array_equal(found["positions"].reshape(-1, 3), expected.astype(np.float32))
    normals = found["normals"].reshape(-1, 4)[:, :3] / 127
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=0.02)


@pytest.mark.parametrize(
    "kinds",
    [
        {"x": "f8", "y": "f8", "z": "f8"},
        {"x": "f4", "y": "f4", "z": "f4", "nx": "f4", "ny": "f4", "nz": "f4"},
        {"time": "f8", "z": "f4", "y": "i2", "x": "u2", "flag": "i1"},
    ],
)
def test_places_of_any_type_in_any_order_without_colours(read, tmp_path, kinds):
    rows = vertices(**kinds)
    found = read(ply(rows, tmp_path))
    np.testing.assert_allclose(found["positions"].reshape(-1, 3), places(rows), rtol=1e-6)
    assert not found["hasColors"] and found["confidence"] is None and found["frames"] is None
    assert set(found["colors"]) == {200}
    if "nx" in kinds:
        normals = np.clip(np.stack([rows[name] for name in ("nx", "ny", "nz")], axis=1), -1, 1)
        np.testing.assert_allclose(found["normals"].reshape(-1, 4)[:, :3] / 127, normals, atol=0.005)
    else:
        assert found["normals"] is None


@pytest.mark.parametrize(
    ("names", "kind", "expected"),
    [
        (("diffuse_red", "diffuse_green", "diffuse_blue"), "u1", lambda value: value),
        (("r", "g", "b"), "u1", lambda value: value),
        (("red", "green", "blue"), "u2", lambda value: value / 257),
        (("red", "green", "blue"), "f4", lambda value: 255 * np.clip(value, 0, 1)),
        (("f_dc_0", "f_dc_1", "f_dc_2"), "f4", lambda value: 255 * (0.5 + 0.28209479 * value)),
    ],
)
def test_colours_of_other_programs(read, tmp_path, names, kind, expected):
    rows = vertices(x="f4", y="f4", z="f4", **dict.fromkeys(names, kind))
    for name in names:
        if kind == "f4":
            rows[name] = np.random.default_rng(len(name)).random(len(rows))
        elif kind == "u2":
            rows[name] = np.arange(len(rows)) * 1500
    found = read(ply(rows, tmp_path))["colors"].reshape(-1, 4)[:, :3]
    wanted = np.stack([expected(rows[name].astype(float)) for name in names], axis=1)
    np.testing.assert_allclose(found, wanted, atol=0.51)


def test_intensity_becomes_grey(read, tmp_path):
    rows = vertices(x="f4", y="f4", z="f4", scalar_Intensity="f4")
    found = read(ply(rows, tmp_path))["colors"].reshape(-1, 4)[:, :3]
    value = rows["scalar_Intensity"]
    wanted = 255 * (value - value.min()) / (value.max() - value.min())
    np.testing.assert_allclose(found, np.repeat(wanted[:, None], 3, axis=1), atol=0.51)


def test_names_as_cloudcompare_and_meshlab_write_them(read, tmp_path):
    rows = vertices(x="f4", y="f4", z="f4", scalar_view_id="f4", quality="f4")
    rows["scalar_view_id"] = [*range(35), -1, 1e9]
    found = read(ply(rows, tmp_path))
    np.testing.assert_array_equal(found["frames"], [*range(35), 65535, 65535])
    np.testing.assert_allclose(found["confidence"], rows["quality"], rtol=1e-6)


def test_points_without_a_place_are_left_out(read, tmp_path):
    rows = vertices()
    rows["x"][3], rows["z"][10], rows["confidence"][5] = np.nan, np.inf, np.nan
    keep = np.isfinite(rows["x"]) & np.isfinite(rows["z"])
    for text in (False, True):
        found = read(ply(rows, tmp_path, text))
        assert found["count"] == 35 and found["dropped"] == 2
        np.testing.assert_allclose(found["positions"].reshape(-1, 3), places(rows[keep]), rtol=1e-6)
        np.testing.assert_array_equal(found["frames"], rows["view_id"][keep])
        assert found["confidence"][4] == 0


def test_text_with_odd_lines(read):
    head = b"ply\r\nformat ascii 1.0\r\nelement vertex 5\r\nproperty float x\r\nproperty float y\r\n"
    head += b"property float z\r\nend_header\r\n"
    body = b"  1 2\t3  \r\n\r\n+1e2 -1.5E-3 .5\r\n12345678901234567890 0.1 1\r\n7 8\r\n4. -0 1e400"
    found = read(head + body)
    expected = [1, 2, 3, 100, -0.0015, 0.5, 12345678901234567890, 0.1, 1]
    np.testing.assert_allclose(found["positions"], expected, rtol=1e-7)
    assert found["dropped"] == 2, "one line has a number too few, one a number too large"


HEAD = "ply\nformat binary_little_endian 1.0\nelement vertex {count}\n{properties}end_header\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "file.empty"),
        (b"<!DOCTYPE html><p>Sign in", "file.page"),
        (b"glTF\x02\0\0\0 and so on", "file.glb"),
        (b"\x1f\x8b\x08\0\0\0\0", "file.gzip"),
        (b"PK\x03\x04 and so on", "file.zip"),
        (b'{"a": 1}', "file.json"),
        (b"version https://git-lfs.github.com/spec/v1", "file.lfs"),
        (b"# obj file\nv 0 0 0\n", "file.other"),
        (b"ply", "file.other"),
        (b"ply\nformat ascii 1.0\n", "ply.end"),
        (b"ply\nformat ascii 1.0\n" + b"comment x\n" * 10_000, "ply.end"),
        (b"ply\nformat binary_middle 1.0\nend_header\n", "ply.format"),
        (b"ply\nelement vertex 1\nend_header\n", "ply.format"),
        (b"ply\nformat ascii 1.0\nelement face 1\nend_header\n", "ply.vertices"),
        (b"ply\nformat ascii 1.0\nelement face 1\nelement vertex 1\nend_header\n", "ply.first"),
        (HEAD.format(count="many", properties=XYZ).encode(), "ply.count"),
        (HEAD.format(count=-1, properties=XYZ).encode(), "ply.count"),
        (HEAD.format(count=1e12, properties=XYZ).encode(), "ply.count"),
        (HEAD.format(count=1, properties=XYZ + "property list uchar int a\n").encode(), "ply.list"),
        (HEAD.format(count=1, properties=XYZ + "property quad a\n").encode(), "ply.type"),
        (HEAD.format(count=1, properties=XYZ.replace(" y", " w")).encode(), "ply.coordinate"),
    ],
)
def test_what_is_wrong_is_said(read, data, problem):
    assert read(data)["problem"] == problem
    assert read(data, 5)["problem"] == problem


def test_an_announced_number_costs_no_memory(read):
    found = read(HEAD.format(count=400_000_000, properties=XYZ).encode() + bytes(24))
    assert found["count"] == 2 and found["announced"] == 400_000_000 and found["dropped"] == 399_999_998
