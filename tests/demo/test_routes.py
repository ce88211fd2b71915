"""Addresses beside gradio's: a visitor's files below a word that nobody can guess, and nothing else."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from manyview.demo.routes import entry_url, file_url, make_routes
from manyview.demo.sessions import Session, Sessions


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    found = Sessions(tmp_path / "sessions", tmp_path / "models", torch.device("cpu"))
    yield found
    found.close_all()


@pytest.fixture
def session(sessions: Sessions) -> Session:
    found = sessions.of("1")
    found.host.output_folder.mkdir(parents=True, exist_ok=True)
    (found.host.output_folder / "a.ply").write_text("ply")
    return found


@pytest.fixture
def get(sessions: Sessions) -> Any:
    client = pytest.importorskip("starlette.testclient").TestClient(make_routes(sessions))
    return lambda path: client.get(path)


def test_a_file_of_ones_own(session: Session, get: Any) -> None:
    url = file_url(session, session.host.output_folder / "a.ply")
    assert url.startswith("manyview/files/") and session.token in url
    answer = get(url.removeprefix("manyview"))
    assert answer.text == "ply" and "attachment" in answer.headers["content-disposition"]
    assert entry_url(session, {"type": "output", "subfolder": "", "filename": "a.ply"}) == url
    (session.host.output_folder / "50 %#?.ply").write_text("odd")
    assert get(file_url(session, session.host.output_folder / "50 %#?.ply").removeprefix("manyview")).text == "odd"
    with pytest.raises(ValueError, match="is no result"):
        file_url(session, session.host.base / "input" / "a.png")


@pytest.mark.parametrize(
    "path",
    [
        "/files/{token}/output/../input/photo.png",
        "/files/{token}/output/..%2finput%2fphoto.png",
        "/files/{token}/output/%2fetc%2fpasswd",
        "/files/{token}/input/photo.png",
        "/files/{token}/output/none.ply",
        "/files/{token}/output/",
        "/files/{other}/output/a.ply",
        "/files/{token}/photo/x.jpg",
        "/files/{token}/video.jpg",
        "/files/{token}/frames/x/image_0.jpg",
        "/sample/..%2fpyproject.toml",
        "/sample/README.md",
        "/..%2fpyproject.toml",
        "/docs/ManyView_Compare.md",
        "/files/{token}/output/a%00.ply",
        "/files/{token}/output/" + "x" * 5000,
        "/files/%C3%A9%00/output/a.ply",
        "/files/" + "%F0%9F%98%80" * 40 + "/output/a.ply",
        "/sample/%00.jpg",
        "/" + "x" * 300 + ".html",
    ],
)
def test_nothing_else(session: Session, get: Any, path: str) -> None:
    (session.host.base / "input" / "photo.png").write_text("mine")
    assert get(path.format(token=session.token, other="x" * 24)).status_code == 404


def test_a_photo_that_cannot_be_read_has_no_thumbnail(session: Session, get: Any, photos: Path) -> None:
    session.photos.add([(photos / "photo_0.jpg", "a.jpg")])
    (photo,) = session.photos.photos
    photo.path.write_bytes(b"no picture any more")
    assert get(f"/files/{session.token}/photo/{photo.number}.jpg").status_code == 404


def test_many_at_once(sessions: Sessions, session: Session, photos: Path) -> None:
    """Requests of two visitors side by side, also for a picture that is just being made."""
    httpx = pytest.importorskip("httpx")
    other = sessions.of("2")
    for each in (session, other):
        each.photos.add([(shutil.copy(photos / "photo_0.jpg", photos / "b.jpg"), "a.jpg")])
    urls = [
        f"/files/{each.token}/{path}"
        for each in (session, other)
        for path in (f"photo/{each.photos.photos[0].number}.jpg", "output/none.ply", "output/a%00", "frames/x/y.jpg")
    ]

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(make_routes(sessions))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answers = await asyncio.gather(*(client.get(url) for url in urls * 6))
        assert all(answer.content[:2] == b"\xff\xd8" for answer in answers if answer.status_code == 200)
        return [answer.status_code for answer in answers]

    assert asyncio.run(ask()) == [200, 404, 404, 404] * 12


def test_what_everybody_gets(get: Any) -> None:
    assert "text/html" in get("/viewer.html").headers["content-type"]
    assert "javascript" in get("/viewer/main.mjs").headers["content-type"]
    assert get("/sample/frame_00.jpg").headers["content-type"] == "image/jpeg"
