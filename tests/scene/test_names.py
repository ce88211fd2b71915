"""Names of files that every system takes."""

import os
import random
import unicodedata
from pathlib import Path, PurePosixPath

import numpy as np
import pycolmap
import pytest
from PIL import Image

from manyview.nodes.export import export
from manyview.nodes.point_cloud import point_cloud
from manyview.scene.export.names import DEVICES, MOST_BYTES, REFUSED, portable_names, portable_path
from manyview.scene.files import unique_names

LONG = "v" * 250
HARD = [
    "2024-05-01 10:22:31.jpg",
    "a<b>|?*.png",
    "/x.jpg",
    "../../up.jpg",
    "C:\\photos\\x.jpg",
    "con",
    "NUL.png",
    "dots...",
    "space ",
    "",
    "..",
    f"{LONG}_0000.000s.png",
    f"{LONG}_0001.000s.png",
    "\u5199" * 120 + ".jpg",
    "b\udcffd.jpg",
    "new\nline\x1b[31m.png",
    "a.jpg",
    "a.jpg/b.jpg",
    "A.JPG",
    "e\u0301.jpg",
    "\xe9.jpg",
    "x." + "e" * 300,
]


def check_portable(names: list[str]) -> None:
    """Every name is one that all systems take, below the folder, and no two are one file anywhere."""
    folders = {str(parent).casefold() for name in names for parent in PurePosixPath(name).parents}
    for name in names:
        parts = name.split("/")
        assert not PurePosixPath(name).is_absolute() and name.casefold() not in folders
        for part in parts:
            assert part not in ("", ".", "..") and not REFUSED.search(part) and not DEVICES.fullmatch(part)
            assert part[-1] not in ". " and len(part.encode()) <= MOST_BYTES + 40
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(names)


def test_hard_names_become_portable_and_keep_what_they_can() -> None:
    names = portable_names(HARD)
    check_portable(names)
    assert names[0] == "2024-05-01 10_22_31.jpg" and names[2] == "x.jpg" and names[3] == "up.jpg"
    assert names[11].endswith("_0000.000s.png") and names[12].endswith("_0001.000s.png")
    assert portable_names(["sub/photo 1.jpg", "\u5199.png"]) == ["sub/photo 1.jpg", "\u5199.png"]
    assert portable_path("\\\\") == "frame"


def test_names_of_any_kind(fuzz_cases: int) -> None:
    signs = [
        "a",
        "B",
        ".",
        "..",
        "/",
        "\\",
        ":",
        " ",
        "\0",
        "\udc80",
        "\u0301",
        "\xdf",
        "con",
        "*",
        "~",
        "\U0001f600",
        "w" * 200,
    ]
    for seed in range(fuzz_cases):
        drawn = random.Random(seed)
        names = ["".join(drawn.choices(signs, k=drawn.randrange(8))) for _ in range(12)]
        for folders, ending in ((True, None), (False, ".png"), (False, "")):
            found = portable_names(names, folders=folders, ending=ending)
            assert len(found) == len(names)
            if ending != "":
                check_portable(found)


def test_one_photo_here_and_one_of_its_name_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unique_names([Path("x.jpg"), Path("sub/x.jpg"), Path("/x.jpg")]) == ("x.jpg", "sub/x.jpg", "x_2.jpg")


def test_every_export_takes_hard_names(make_room, tmp_path: Path) -> None:
    names = (HARD[0], HARD[11], HARD[12], "b\udcffd.jpg", "sub/" + HARD[0], "/" + HARD[0], "con.jpg")
    room = make_room(len(names), names=names)
    files = export(room, point_cloud(room), tmp_path / "out")
    check_portable([path.relative_to(tmp_path / "out").as_posix() for path in files])
    model = pycolmap.Reconstruction(tmp_path / "out" / "colmap" / "sparse" / "0")
    assert len(model.images) == len(names)
    for image in model.images.values():
        with Image.open(tmp_path / "out" / "colmap" / "images" / image.name) as picture:
            assert np.abs(np.asarray(picture, int) - room.images[image.image_id - 1]).mean() < 8
    for folder in ("depth", "preview/depth", "preview/confidence"):
        assert len(list((tmp_path / "out" / folder).glob("*.png"))) == len(names)
    assert not [name for name in os.listdir(tmp_path / "out") if name.startswith(".")]
