"""Events of the page about the visitor, their photos and the words beside controls."""

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ..nodes.graph.loading import SAMPLES
from .controls import METHOD_FIELDS
from .display import photo_list
from .panels import Page
from .server import Server, refusal
from .sessions import Session
from .settings import SPARSITY, known
from .texts import is_here, method_text, model_text, plain

QUIET = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None}
WARNINGS = 5  # shown one by one


class Visits:
    """What happens before a run."""

    def __init__(self, server: Server, page: Page) -> None:
        self.server, self.page = server, page

    def connect(self, blocks: gr.Blocks) -> None:
        """Tie the functions to the page."""
        page, photos = self.page, [self.page.photos]
        blocks.unload(self.leave)
        page.photos.added(self.add_files, None, photos, **QUIET)
        page.photos.arranged(self.arrange, None, photos, **QUIET)
        page.photos.cleared(self.clear, None, photos, **QUIET)
        page.photos.sampled(self.take_sample, None, photos, **QUIET)
        for part in (page.photos, page.viewer, page.viewer_a, page.viewer_b):
            part.refused(self.refuse, None, None, **QUIET)
        model = page.controls.of("model", "model")
        model.change(self.tell_model, model, [page.model_text, page.download], **QUIET)
        for group in ("sparsity", "against"):
            method = page.controls.of(group, "method")
            outputs = [page.parts[f"{group}_text"], *page.parts[f"{group}_fields"]]
            method.change(self.tell_method, method, outputs, **QUIET)

    def session(self, request: gr.Request) -> Session:
        """The visitor's session, which begins here if they have done nothing before."""
        try:
            session = self.server.sessions.of(request.session_hash, request.username or "")
        except ValueError as error:
            raise refusal(error) from error
        session.guest = self.server.guest(request)
        return session

    def known(self, request: gr.Request) -> Session | None:
        """The visitor's session if they have done something."""
        return self.server.sessions.find(request.session_hash)

    def leave(self, request: gr.Request) -> None:
        self.server.sessions.leave(request.session_hash)

    def add_files(self, event: gr.EventData, request: gr.Request) -> str:
        session = self.session(request)
        try:
            files = [(self.uploaded(str(each["path"])), str(each["name"])) for each in event.files]
            if event.kind == "masks":
                problems = session.photos.add_masks(files)
            else:
                problems = session.photos.add(files, replaces=bool(event.replaces))
        except (ValueError, OSError) as error:
            raise refusal(error) from error
        for problem in problems[:WARNINGS]:
            gr.Warning(escape(plain(problem), quote=False))
        if len(problems) > WARNINGS:
            gr.Warning(f"{len(problems) - WARNINGS} more files could not be used.")
        return photo_list(session)

    def uploaded(self, path: str) -> Path:
        """A file that gradio has just taken in; ValueError for any other path that a page may send."""
        found = Path(path).resolve()
        if not found.is_relative_to(self.server.uploads.resolve()) or not found.is_file():
            raise ValueError("This file has not been uploaded; choose it again.")
        return found

    def arrange(self, event: gr.EventData, request: gr.Request) -> str:
        session = self.session(request)
        try:
            session.photos.arrange([str(each) for each in event.order])
        except ValueError as error:
            raise refusal(error) from error
        return photo_list(session)

    def clear(self, request: gr.Request) -> str:
        session = self.session(request)
        session.photos.clear()
        return photo_list(session)

    def take_sample(self, event: gr.EventData, request: gr.Request) -> str:
        """Take one of the samples, by its place in the row."""
        session = self.session(request)
        place = event.place if event.place in range(len(SAMPLES)) else 0
        session.photos.take_sample(list(SAMPLES)[place])
        return photo_list(session)

    def refuse(self, event: gr.EventData) -> None:
        """A message that a script of the page has for the visitor."""
        raise refusal(str(event.text)[:500])

    def tell_model(self, model: str) -> tuple[str, Any]:
        folder = self.server.sessions.model_folder
        missing = self.server.allow_downloads and not is_here(model, folder)
        return model_text(model, folder), gr.update(visible=missing)

    def tell_method(self, method: str) -> list[Any]:
        there = {each.name for each in known()[SPARSITY].present({"method": method})}
        return [method_text(method), *(gr.update(visible=name in there) for name in METHOD_FIELDS)]
