"""Addresses beside gradio's own: the 3D viewer, and the files of a visitor below a word that nobody can guess."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import quote

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from .pictures import write_differences, write_pictures
from .sessions import Session, Sessions

logger = logging.getLogger(__name__)
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
THREADS = 8  # that look for files and draw pictures, so that those of the page never wait for them


def make_routes(sessions: Sessions) -> Starlette:
    """An application to be mounted at PREFIX."""
    threads = CapacityLimiter(THREADS)

    def route(path: str, answer: Callable[[Session, Request], Response]) -> Route:
        """Files of a visitor, whose session the address names."""

        async def respond(request: Request) -> Response:
            session = sessions.by_token(request.path_params["token"])
            if session is None:
                return _nothing()
            async with session.looking:  # a visitor with many pictures waits here, without a thread
                return await run_sync(answer, session, request, limiter=threads)

        return Route(f"/files/{{token}}/{path}", respond)

    def public(path: str, answer: Callable[[Request], Response]) -> Route:
        async def respond(request: Request) -> Response:
            return await run_sync(answer, request, limiter=threads)

        return Route(path, respond)

    return Starlette(
        routes=[
            route("photo/{number}.jpg", _photo),
            route("video.jpg", _video),
            route("frames/{run}/{name}", _frame),
            route("{kind}/{path:path}", _result),
            public("/sample/{path:path}", lambda request: _below(SAMPLE, request.path_params["path"], (".jpg",))),
            public("/{path:path}", lambda request: _below(WEB, request.path_params["path"], (".html", ".mjs", ".css"))),
        ]
    )


def file_url(session: Session, path: Path) -> str:
    """Where a page finds a file in a visitor's output or temp folder, from its own address."""
    for kind, folder in (("output", session.host.output_folder), ("temp", session.host.temp_folder)):
        if path.is_relative_to(folder):
            return f"{PREFIX[1:]}/files/{session.token}/{kind}/{quote(path.relative_to(folder).as_posix())}"
    raise ValueError(f"{path.name} is no result.")


def entry_url(session: Session, entry: dict[str, str]) -> str:
    """The same for a file as nodes name it."""
    folder = {"output": session.host.output_folder, "temp": session.host.temp_folder}[entry["type"]]
    return file_url(session, folder / entry["subfolder"] / entry["filename"])


def _below(folder: Path, name: str, endings: tuple[str, ...]) -> Response:
    """A file of a folder, if it has one of these endings."""
    path = _file_in(folder, name)
    if path is None or path.suffix not in endings:
        return _nothing()
    return FileResponse(path, media_type=TYPES.get(path.suffix), headers={"Cache-Control": "no-cache"})


def _file_in(folder: Path, name: str) -> Path | None:
    """A file below a folder; None for all that is none, whatever a browser has sent as its name."""
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
    except (OSError, ValueError):  # too long, or with a NUL; Python's versions differ in what they raise
        return None


def _photo(session: Session, request: Request) -> Response:
    number = request.path_params["number"]
    photo = next((each for each in session.photos.photos if each.number == number), None)
    return _drawn(partial(session.photos.thumbnail, photo)) if photo else _nothing()


def _video(session: Session, request: Request) -> Response:
    return _drawn(session.photos.video_thumbnail) if session.photos.video else _nothing()


def _drawn(draw: Callable[[], Path]) -> Response:
    """A small picture; nothing if its photo cannot be read or has just been taken away."""
    try:
        return FileResponse(draw())
    except (ValueError, OSError) as error:
        logger.info("no thumbnail: %s", error)
        return _nothing()


def _frame(session: Session, request: Request) -> Response:
    """A picture of a frame of the last result; all of them are drawn when the first is wanted."""
    outcome, name = session.outcome, request.path_params["name"]
    if outcome is None or outcome.run != request.path_params["run"]:
        return _nothing()
    folder = session.host.temp_folder / f"frames_{outcome.run}"
    is_difference = name.startswith(("difference_", "other_"))
    if is_difference and outcome.compared is not None and not (folder / "other_0.jpg").exists():
        write_differences(outcome.scene, outcome.compared, folder)
    elif not is_difference and not (folder / "confidence_0.jpg").exists():
        write_pictures(outcome.scene, folder)
    return _below(folder, name, (".jpg",))


def _result(session: Session, request: Request) -> Response:
    folders = {"output": session.host.output_folder, "temp": session.host.temp_folder}
    folder = folders.get(request.path_params["kind"])
    path = folder and _file_in(folder, request.path_params["path"])
    if path is None:
        return _nothing()
    name = path.name if path.suffix in LOADS and request.path_params["kind"] == "output" else None
    return FileResponse(path, filename=name, headers={"Cache-Control": "no-store"})


def _nothing() -> Response:
    return PlainTextResponse("There is no such file.", status_code=404)
