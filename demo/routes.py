"""Addresses beside gradio's own: the 3D viewer, and the files of a visitor below a word that nobody can guess."""

import threading
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from .pictures import write_differences, write_pictures
from .sessions import Session, Sessions

WEB = Path(__file__).resolve().parents[1] / "web"
SAMPLE = Path(__file__).resolve().parents[1] / "sample"
PREFIX = "/manyview"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".jpg": "image/jpeg",
    ".json": "application/json",
}
LOADS = (".ply", ".glb", ".npz", ".zip", ".json")  # given to the visitor as files when they are results
_drawing = threading.Lock()


def make_routes(sessions: Sessions) -> Starlette:
    """An application to be mounted at PREFIX."""
    return Starlette(
        routes=[
            Route("/files/{token}/photo/{number}.jpg", lambda request: _photo(sessions, request)),
            Route("/files/{token}/video.jpg", lambda request: _video(sessions, request)),
            Route("/files/{token}/frames/{run}/{name}", lambda request: _frame(sessions, request)),
            Route("/files/{token}/{kind}/{path:path}", lambda request: _result(sessions, request)),
            Route("/sample/{path:path}", lambda request: _below(SAMPLE, request.path_params["path"], (".jpg",))),
            Route("/{path:path}", lambda request: _below(WEB, request.path_params["path"], (".html", ".mjs", ".css"))),
        ]
    )


def file_url(session: Session, path: Path) -> str:
    """Where a page finds a file in a visitor's output or temp folder, from its own address."""
    for kind, folder in (("output", session.host.output_folder), ("temp", session.host.temp_folder)):
        if path.is_relative_to(folder):
            return f"{PREFIX[1:]}/files/{session.token}/{kind}/{path.relative_to(folder).as_posix()}"
    raise ValueError(f"{path.name} is no result.")


def entry_url(session: Session, entry: dict[str, str]) -> str:
    """The same for a file as nodes name it."""
    folder = {"output": session.host.output_folder, "temp": session.host.temp_folder}[entry["type"]]
    return file_url(session, folder / entry["subfolder"] / entry["filename"])


def _below(folder: Path, name: str, endings: tuple[str, ...]) -> Response:
    """A file of a folder, if it has one of these endings."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or path.suffix not in endings or not path.is_file():
        return _nothing()
    return FileResponse(path, media_type=TYPES.get(path.suffix), headers={"Cache-Control": "no-cache"})


def _session(sessions: Sessions, request: Request) -> Session | None:
    return sessions.by_token(request.path_params["token"])


def _photo(sessions: Sessions, request: Request) -> Response:
    session = _session(sessions, request)
    number = request.path_params["number"]
    photo = session and next((each for each in session.photos.photos if each.number == number), None)
    return FileResponse(session.photos.thumbnail(photo)) if photo else _nothing()


def _video(sessions: Sessions, request: Request) -> Response:
    session = _session(sessions, request)
    return FileResponse(session.photos.video_thumbnail()) if session and session.photos.video else _nothing()


def _frame(sessions: Sessions, request: Request) -> Response:
    """A picture of a frame of the last result; all of them are drawn when the first is wanted."""
    session = _session(sessions, request)
    outcome = session and session.outcome
    name = request.path_params["name"]
    if outcome is None or outcome.run != request.path_params["run"]:
        return _nothing()
    folder = session.host.temp_folder / f"frames_{outcome.run}"
    is_difference = name.startswith(("difference_", "other_"))
    with _drawing:
        if is_difference and outcome.compared is not None and not (folder / "other_0.jpg").exists():
            write_differences(outcome.scene, outcome.compared, folder)
        elif not is_difference and not (folder / "confidence_0.jpg").exists():
            write_pictures(outcome.scene, folder)
    return _below(folder, name, (".jpg",))


def _result(sessions: Sessions, request: Request) -> Response:
    session = _session(sessions, request)
    folders = session and {"output": session.host.output_folder, "temp": session.host.temp_folder}
    folder = folders and folders.get(request.path_params["kind"])
    if folder is None:
        return _nothing()
    path = (folder / request.path_params["path"]).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return _nothing()
    name = path.name if path.suffix in LOADS and request.path_params["kind"] == "output" else None
    return FileResponse(path, filename=name, headers={"Cache-Control": "no-store"})


def _nothing() -> Response:
    return PlainTextResponse("There is no such file.", status_code=404)
