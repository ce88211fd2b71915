"""Addresses beside gradio's: a visitor's files below a word that nobody can guess, and nothing else."""

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
    ],
)
def test_nothing_else(session: Session, get: Any, path: str) -> None:
    (session.host.base / "input" / "photo.png").write_text("mine")
    assert get(path.format(token=session.token, other="x" * 24)).status_code == 404


def test_what_everybody_gets(get: Any) -> None:
    assert "text/html" in get("/viewer.html").headers["content-type"]
    assert "javascript" in get("/viewer/main.mjs").headers["content-type"]
    assert get("/sample/frame_00.jpg").headers["content-type"] == "image/jpeg"
