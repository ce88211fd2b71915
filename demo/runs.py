"""Events of the page that run something and show what comes out."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from ..models.catalog import CHECKPOINTS
from ..workflows.problem import Cancelled
from . import views, work
from .display import scale_text, viewer_value
from .jobs import Job, Jobs
from .routes import PREFIX, file_url
from .server import follow, result_of, sentence
from .sessions import Session, is_busy
from .settings import Settings
from .visits import QUIET, Visits

Updates = dict[Any, Any]
Values = Mapping[Any, Any]
FRAMES = (("image", "photo"), ("depth", "depth: near is light"), ("confidence", "confidence: green is sure"))
DIFFERENCES = (
    ("image", "photo"),
    ("depth", "depth, chosen"),
    ("other", "depth, compared with"),
    ("difference", "difference: red is 10 % and more"),
)
BUSY = "Your last run is not over yet; cancel it, or wait."


class Runs:
    """What the buttons do."""

    def __init__(self, visits: Visits) -> None:
        self.visits, self.server, self.page = visits, visits.server, visits.page
        self.session = visits.session

    def connect(self) -> None:
        """Tie the functions to the page."""
        page, results = self.page, self.results()
        inputs = set(page.controls.components)
        page.run.click(self.press, inputs, results, **QUIET)
        page.compare.click(self.compare, inputs, results, **QUIET)
        page.cancel.click(self.cancel, None, None, queue=False, **QUIET)
        filters = [event for each in page.controls.group("points") for event in _settled(each)]
        gr.on(filters, self.filter_points, inputs, results, trigger_mode="always_last", **QUIET)
        page.viewer.looked(self.look, None, None, **QUIET)
        page.viewer.scaled(self.set_scale, None, results, **QUIET)
        page.forget_scale.click(self.forget_scale, inputs, results, **QUIET)
        page.make_files.click(self.make_files, inputs, [page.status, page.cancel, page.files], **QUIET)
        outputs = [page.status, page.cancel, page.model_text, page.download]
        page.download.click(self.download, page.controls.of("model", "model"), outputs, **QUIET)

    def results(self) -> list[Any]:
        """What a run may change."""
        page = self.page
        shown = [page.viewer, page.frames, page.cameras, page.report, page.scale_text, page.forget_scale]
        compared = [page.comparison, page.pair, page.viewer_a, page.viewer_b, page.differences]
        return [page.status, page.run, page.cancel, page.compare, page.files, *shown, *compared]

    async def press(self, values: Values, request: gr.Request) -> AsyncIterator[Updates]:
        session = self.session(request)
        settings = replace(self.chosen(session, values), against=None)
        async for updates in self.run(session, settings):
            yield updates

    async def compare(self, values: Values, request: gr.Request) -> AsyncIterator[Updates]:
        session = self.session(request)
        async for updates in self.run(session, self.chosen(session, values)):
            yield updates

    async def run(self, session: Session, settings: Settings) -> AsyncIterator[Updates]:
        """Reconstruct, and show what comes out."""
        do = partial(work.reconstruct, session, settings)
        async for updates in self.carry_out(
            session, self.server.jobs, do, lambda outcome: {**self.shown(session, outcome), self.page.files: ""}
        ):
            yield updates

    async def carry_out(
        self,
        session: Session,
        jobs: Jobs,
        do: Callable[[Job], Any],
        show: Callable[[Any], Updates],
        only: tuple[Any, ...] | None = None,
    ) -> AsyncIterator[Updates]:
        """Put a job into a queue, tell how it goes, and show what it gives; if it fails or is cancelled, a message.

        only: the buttons that may be changed; None for all.
        """

        def buttons(busy: bool = False) -> Updates:
            return {part: to for part, to in self.buttons(busy).items() if only is None or part in only}

        status = self.page.status
        job = self.submit(session, jobs, do)
        yield buttons(busy=True)
        try:
            async for html in follow(jobs, job):
                yield {status: html}
        except Exception as error:
            yield {**buttons(), status: views.status(job)}
            raise gr.Error(sentence(error), duration=20) from error
        yield {**buttons(), **({status: views.status(job)} if job.result is None else show(job.result))}

    def submit(self, session: Session, jobs: Jobs, do: Callable[[Job], Any]) -> Job:
        """A job in a queue; the visitor's last one must be over."""
        if is_busy(session):
            raise gr.Error(BUSY)
        try:
            session.job = jobs.submit(do)
        except ValueError as error:
            raise gr.Error(str(error)) from error
        return session.job

    def buttons(self, busy: bool = False) -> Updates:
        """The buttons while something runs, or when nothing does."""
        page = self.page
        ready = gr.update(interactive=not busy)
        return {page.run: ready, page.compare: ready, page.cancel: gr.update(interactive=busy)}

    def cancel(self, request: gr.Request) -> None:
        session = self.session(request)
        if session.job is not None:
            for jobs in (self.server.jobs, self.server.quick, self.server.downloads):
                jobs.cancel(session.job)

    async def filter_points(self, values: Values, request: gr.Request) -> Updates:
        session = self.session(request)
        if session.outcome is None or is_busy(session):
            return {self.page.files: gr.skip()}
        settings = self.chosen(session, values)
        if settings.points == session.outcome.settings.points:
            return {self.page.files: gr.skip()}
        outcome = await self.quickly(lambda job: work.filter_points(session, settings, job))
        return self.shown(session, outcome, again=True)

    async def set_scale(self, event: gr.EventData, request: gr.Request) -> Updates:
        session = self.session(request)
        if session.outcome is None:
            return {self.page.files: gr.skip()}
        units, meters = float(event.units), float(event.meters)
        outcome = await self.quickly(lambda job: work.set_scale(session, units, meters, job))
        updates = self.shown(session, outcome, again=True)
        del updates[self.page.viewer]  # it has the scale already, and its view stays
        return updates

    async def forget_scale(self, values: Values, request: gr.Request) -> Updates:
        session = self.session(request)
        if session.outcome is None:
            return {self.page.files: gr.skip()}
        settings = replace(self.chosen(session, values), scale=None)
        outcome = await self.quickly(lambda job: work.filter_points(session, settings, job))
        return self.shown(session, outcome, again=True)

    async def quickly(self, do: Callable[[Job], Any]) -> Any:
        """Work that does not wait for the network."""
        try:
            return await result_of(self.server.quick, self.server.quick.submit(do))
        except Cancelled:
            raise gr.Error("Cancelled.") from None
        except Exception as error:
            raise gr.Error(sentence(error)) from error

    def look(self, event: gr.EventData, request: gr.Request) -> None:
        """The viewer's options, to be saved with the workflow."""
        session = self.session(request)
        if isinstance(event.options, dict):
            session.settings = replace(session.settings, view=event.options)

    async def make_files(self, values: Values, request: gr.Request) -> AsyncIterator[Updates]:
        session = self.session(request)
        do = partial(work.write_files, session, self.chosen(session, values))

        def show(paths: list[Path]) -> Updates:
            links = [(path, file_url(session, path)) for path in paths]
            done = views.message("done", f"{len(links)} files are ready.")
            return {self.page.files: views.files(links), self.page.status: done}

        async for updates in self.carry_out(session, self.server.quick, do, show, (self.page.cancel,)):
            yield updates

    async def download(self, model: str, request: gr.Request) -> AsyncIterator[Updates]:
        from ..models.download import download_checkpoint

        if not self.server.allow_downloads or model not in CHECKPOINTS:
            raise gr.Error("Models cannot be downloaded here.")
        session, folder = self.session(request), self.server.sessions.model_folder

        def do(job: Job) -> Any:
            return download_checkpoint(CHECKPOINTS[model], folder, job.progress)

        def show(_: Any) -> Updates:
            text, button = self.visits.tell_model(model)
            done = views.message("done", f"{model} is on this computer now.")
            return {self.page.status: done, self.page.model_text: text, self.page.download: button}

        async for updates in self.carry_out(session, self.server.downloads, do, show, (self.page.cancel,)):
            yield updates

    def chosen(self, session: Session, values: Values) -> Settings:
        """The settings of the page, with the photos that are here and the scale that was set."""
        components = self.page.controls.components
        try:
            source = session.photos.source
            if not source:
                raise ValueError("There are no photos; add some or a video, or choose a sample.")
            images = {**session.settings.images, "source": source, "masks": session.photos.masks}
            base = replace(session.settings, images=images)
            if session.outcome is not None:
                base = replace(base, scale=session.outcome.settings.scale)
            return self.page.controls.settings([values[each] for each in components], base)
        except ValueError as error:
            raise gr.Error(sentence(error)) from error

    def shown(self, session: Session, outcome: work.Outcome, again: bool = False) -> Updates:
        """A result in all tabs; `again`: only what another choice of points or another scale changes."""
        page, scene = self.page, outcome.scene
        base = f"{PREFIX[1:]}/files/{session.token}/frames/{outcome.run}"
        updates = {
            page.status: views.finished(outcome),
            page.viewer: viewer_value(session, outcome.shown, outcome.done, session.settings.view),
            page.cameras: views.cameras(scene),
            page.scale_text: scale_text(outcome.settings),
            page.forget_scale: gr.update(visible=outcome.settings.scale is not None),
            page.frames: views.frames(base, scene.names, FRAMES),
        }
        if again:
            return updates
        updates[page.report] = views.report(scene)
        if outcome.compared is not None:
            updates |= {
                page.comparison: views.comparison(outcome),
                page.pair: gr.update(visible=True),
                page.viewer_a: viewer_value(session, outcome.shown, outcome.done),
                page.viewer_b: viewer_value(session, outcome.compared_shown, outcome.done),
                page.differences: views.frames(base, scene.names, DIFFERENCES),
            }
        return updates


def _settled(component: Any) -> list[Any]:
    """The events by which a control says that it has been set: a slider when it is let go, text when it is left."""
    if isinstance(component, gr.Slider):
        return [component.release]
    return [component.blur, component.submit] if isinstance(component, gr.Textbox | gr.Number) else [component.input]
