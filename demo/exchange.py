"""Events of the page about workflow files: save, open, run."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from ..workflows.problem import WorkflowError
from ..workflows.reading import read_file
from . import views, work
from .display import photo_list, viewer_value
from .opened import nodes_html, open_document, opened_html
from .routes import entry_url, file_url
from .runs import Runs, Updates, Values
from .server import refusal
from .visits import QUIET

DOWNLOAD = "(url) => { const a = document.createElement('a'); a.href = url; a.download = ''; a.click(); }"


class Exchange:
    """Workflows in and out."""

    def __init__(self, runs: Runs) -> None:
        self.runs, self.server, self.page, self.session = runs, runs.server, runs.page, runs.session

    def connect(self) -> None:
        """Tie the functions to the page."""
        page = self.page
        inputs = set(page.controls.components)
        saved = page.save_workflow.click(self.save, inputs | {page.compare_saved}, page.address, **QUIET)
        saved.success(None, page.address, None, js=DOWNLOAD, api_visibility="private")
        controls = [
            page.workflow,
            page.run_workflow,
            page.download_opened,
            page.photos,
            page.compare_saved,
            *page.controls.components,
        ]
        opened = page.open_workflow.upload(self.open, page.open_workflow, controls, **QUIET)
        opened.success(self.run_opened, inputs, self.runs.results(), **QUIET)
        shown = [page.workflow, page.status, page.viewer, page.run, page.cancel, page.compare]
        fetched = [page.model_text, page.download, page.run_workflow, page.download_opened, *self.runs.results()]
        page.download_opened.click(self.download, None, fetched, **QUIET)
        page.run_workflow.click(self.run_as_it_is, None, shown, **QUIET)

    def save(self, values: Values, request: gr.Request) -> str:
        session = self.session(request)
        settings = self.runs.chosen(session, values)
        if not values[self.page.compare_saved]:
            settings = replace(settings, against=None)
        try:
            document = work.document_of(session, settings)
        except WorkflowError as error:
            raise refusal(error) from error
        target = session.host.output_folder / "manyview_workflow.json"
        target.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        return file_url(session, target)

    def open(self, path: str, request: gr.Request) -> Updates:
        session, page, file = self.session(request), self.page, Path(path)
        session.opened = None
        try:
            session.opened = opened = open_document(session, read_file(file))
        except WorkflowError as error:
            raise refusal(error, duration=20) from error
        finally:
            file.unlink(missing_ok=True)
        updates: Updates = {
            page.workflow: opened_html(file.name, opened),
            page.run_workflow: gr.update(interactive=not opened.missing),
            page.download_opened: gr.update(visible=bool(opened.missing) and self.server.allow_downloads),
            page.photos: photo_list(session),
        }
        if opened.settings is None:
            return updates
        session.settings, session.outcome = opened.settings, None
        updates |= dict(zip(page.controls.components, page.controls.values(opened.settings), strict=True))
        return updates | {page.compare_saved: opened.settings.against is not None}

    async def run_opened(self, values: Values, request: gr.Request) -> AsyncIterator[Updates]:
        """After a workflow was opened: run it if its photos are here."""
        session = self.session(request)
        opened = session.opened
        if opened is None or not opened.can_run:
            yield {self.page.files: gr.skip()}
            return
        settings = self.runs.chosen(session, values)
        if opened.settings.against is None:
            settings = replace(settings, against=None)
        async for updates in self.runs.run(session, settings):
            yield updates

    async def download(self, request: gr.Request) -> AsyncIterator[Updates]:
        """Fetch the model of the opened workflow."""
        opened = self.session(request).opened
        if opened is None or not opened.missing:
            raise gr.Error("Open a workflow first.")
        page = self.page
        async for updates in self.runs.download(opened.missing, request):
            yield updates
        yield {page.run_workflow: gr.update(interactive=True), page.download_opened: gr.update(visible=False)}

    async def run_as_it_is(self, request: gr.Request) -> AsyncIterator[Updates]:
        session = self.session(request)
        opened = session.opened
        if opened is None:
            raise refusal("Open a workflow first.")
        do = partial(work.run_workflow, session, opened.graph, opened.document)
        async for updates in self.runs.carry_out(session, self.server.jobs, do, partial(self._ran, session)):
            yield updates

    def _ran(self, session: Any, done: Any) -> Updates:
        page = self.page
        updates = {
            page.status: views.message("done", f"The workflow has run: {len(done)} nodes."),
            page.workflow: nodes_html(done, lambda entry: entry_url(session, entry)),
        }
        previews = [each.ui["manyview_preview"] for each in done.values() if "manyview_preview" in each.ui]
        if previews:
            updates[page.viewer] = viewer_value(session, previews[0], done)
        return updates
