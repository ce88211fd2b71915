"""Events of the page that run something and show what comes out."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from ..models.catalog import CHECKPOINTS
from ..workflows.problem import Cancelled
from . import views, work
from .display import photo_list
from .jobs import Job, Jobs
from .routes import file_url
from .server import follow, refusal, result_of, sentence
from .sessions import Session, is_busy
from .settings import START_MODEL, Settings
from .shown import Updates, outputs, shown
from .visits import QUIET, Visits

Values = Mapping[Any, Any]
BUSY = "Your last run is not over yet; cancel it, or wait."
KEEP = "(token) => { if (token) sessionStorage.setItem('manyview', token); }"
KEPT = "() => sessionStorage.getItem('manyview') || ''"


@dataclass(frozen=True)
class Watch:
    """A job in its queue, what the page shows of its result, and which buttons it may change (None: all)."""

    jobs: Jobs
    job: Job
    show: Callable[[Any], Updates]
    only: tuple[Any, ...] | None = None


class Runs:
    """What the buttons do."""

    def __init__(self, visits: Visits) -> None:
        self.visits, self.server, self.page = visits, visits.server, visits.page
        self.session = visits.session

    def connect(self, blocks: gr.Blocks) -> None:
        """Tie the functions to the page."""
        page, results = self.page, self.results()
        inputs = set(page.controls.components)
        others = [each for each in page.controls.components if each not in results]
        came = [page.keepsake, page.photos, page.model_text, page.download, *results, *others]
        arrived = blocks.load(self.arrive, page.keepsake, came, js=KEPT, **QUIET)
        arrived.then(None, page.keepsake, None, js=KEEP, api_visibility="private")
        runs = [arrived.then(self.go_on, None, results, **QUIET)]
        runs.append(page.run.click(self.press, inputs, results, **QUIET))
        runs.append(page.compare.click(self.compare, inputs, results, **QUIET))
        runs.append(page.make_files.click(self.make_files, inputs, results, **QUIET))
        runs.append(page.fly.click(self.fly, None, results, **QUIET))
        page.cancel.click(self.cancel, None, None, queue=False, **QUIET)
        filters = [event for each in page.controls.group("points") for event in _settled(each)]
        gr.on(filters, self.filter_points, inputs, results, trigger_mode="always_last", **QUIET)
        page.viewer.looked(self.look, None, None, **QUIET)
        page.viewer.scaled(self.set_scale, None, results, **QUIET)
        page.forget_scale.click(self.forget_scale, inputs, results, **QUIET)
        more = [page.model_text, page.download, *results]
        runs.append(page.download.click(self.download, page.controls.of("model", "model"), more, **QUIET))
        for run in runs:  # what was set while it ran
            run.then(self.filter_points, inputs, results, **QUIET)

    def results(self) -> list[Any]:
        """What a run may change."""
        return outputs(self.page)

    def arrive(self, token: Any, request: gr.Request) -> Updates:
        """What the page shows at first; all that was there, if it was only loaded again."""
        page, number, sessions = self.page, request.session_hash or "", self.server.sessions
        session = sessions.resume(number, str(token or ""), request.username or "") or sessions.find(number)
        kept = session.token if session is not None else sessions.token_of(number)
        updates: Updates = {page.keepsake: kept, page.photos: photo_list(session)}
        model = START_MODEL
        if session is not None:
            model = session.settings.model["model"]
            updates |= dict(zip(page.controls.components, page.controls.values(session.settings), strict=True))
            if session.outcome is not None:
                made = session.files, session.film
                updates |= shown(page, session, session.outcome)
                session.files, session.film = updates[page.files], updates[page.film] = made
        text, button = self.visits.tell_model(model)
        return updates | {page.model_text: text, page.download: button}

    async def go_on(self, request: gr.Request) -> AsyncIterator[Updates]:
        """After the page was loaded again: watch what still runs."""
        session = self.visits.known(request)
        if session is None or session.watch is None or not (is_busy(session) or session.watch.job.error):
            yield {self.page.files: gr.skip()}
            return
        async for updates in self.watch(session.watch):
            yield updates

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
        async for updates in self.carry_out(session, self.server.jobs, do, partial(shown, self.page, session)):
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

        only: the buttons that may be changed; None for all. The job goes on when the page is loaded again.
        """
        watch = session.watch = Watch(jobs, self.submit(session, jobs, do), show, only)
        async for updates in self.watch(watch):
            yield updates

    async def watch(self, watch: Watch) -> AsyncIterator[Updates]:
        """How a job goes, and what it gives."""

        def buttons(busy: bool = False) -> Updates:
            return {part: to for part, to in self.buttons(busy).items() if watch.only is None or part in watch.only}

        status, job = self.page.status, watch.job
        yield buttons(busy=True)
        try:
            async for state in follow(watch.jobs, job, goes_on=True):
                yield {status: state}
        except Exception as error:
            said = sentence(error)
            yield {**buttons(), status: views.message("failed", f"That did not work. {said}")}
            raise refusal(said, duration=20) from error
        yield {**buttons(), **({status: views.status(job)} if job.result is None else watch.show(job.result))}

    def submit(self, session: Session, jobs: Jobs, do: Callable[[Job], Any]) -> Job:
        """A job in a queue; the visitor's last one must be over."""
        if is_busy(session):
            raise refusal(BUSY)
        with ExitStack() as stack:
            stack.enter_context(self.placed(session))
            try:
                session.job = jobs.submit(do)
            except ValueError as error:
                raise refusal(error) from error
            session.job.on_end(stack.pop_all().close)
        return session.job

    @contextmanager
    def placed(self, session: Session) -> Iterator[None]:
        """Hold one of the visitor's places as long as work of theirs waits or runs."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self.server.places.taken(session.guest))
            except ValueError as error:
                raise refusal(error) from error
            yield

    def buttons(self, busy: bool = False) -> Updates:
        """The buttons while something runs, or when nothing does."""
        page = self.page
        ready = gr.update(interactive=not busy)
        return {page.run: ready, page.compare: ready, page.cancel: gr.update(interactive=busy)}

    def cancel(self, request: gr.Request) -> None:
        session = self.visits.known(request)
        if session is not None and session.job is not None:
            for jobs in (self.server.jobs, self.server.quick, self.server.downloads, self.server.films):
                jobs.cancel(session.job)

    async def filter_points(self, values: Values, request: gr.Request) -> AsyncIterator[Updates]:
        """Choose the points again if the controls say something else than what is shown."""
        session, page = self.visits.known(request), self.page
        if session is None or session.outcome is None or is_busy(session):  # after a run this is asked again
            yield {page.files: gr.skip()}
            return
        settings = self.chosen(session, values)
        emptied = self.page.controls.emptied(values, settings)
        if settings.points == session.outcome.settings.points:
            yield emptied or {page.files: gr.skip()}
            return
        try:
            outcome = await self.quickly(session, lambda job: work.filter_points(session, settings, job))
        except gr.Error as error:
            yield {page.status: views.message("failed", f"The points are as before. {error.message}")}
            raise
        yield {**emptied, **shown(page, session, outcome, again=True)}

    async def set_scale(self, event: gr.EventData, request: gr.Request) -> Updates:
        session = self.visits.known(request)
        if session is None or session.outcome is None:
            return {self.page.files: gr.skip()}
        units, meters = float(event.units), float(event.meters)
        outcome = await self.quickly(session, lambda job: work.set_scale(session, units, meters, job))
        updates = shown(self.page, session, outcome, again=True)
        del updates[self.page.viewer]  # it has the scale already, and its view stays
        return updates

    async def forget_scale(self, values: Values, request: gr.Request) -> Updates:
        session = self.visits.known(request)
        if session is None or session.outcome is None:
            return {self.page.files: gr.skip()}
        settings = replace(self.chosen(session, values), scale=None)
        outcome = await self.quickly(session, lambda job: work.filter_points(session, settings, job))
        return shown(self.page, session, outcome, again=True)

    async def quickly(self, session: Session, do: Callable[[Job], Any]) -> Any:
        """Work that does not wait for the network."""
        try:
            with self.placed(session):
                return await result_of(self.server.quick, self.server.quick.submit(do))
        except gr.Error:
            raise
        except Cancelled:
            raise refusal("Cancelled.") from None
        except Exception as error:
            raise refusal(error) from error

    def look(self, event: gr.EventData, request: gr.Request) -> None:
        """The viewer's options, to be saved with the workflow."""
        session = self.visits.known(request)
        if session is not None and isinstance(event.options, dict):
            session.settings = replace(session.settings, view=event.options)

    async def make_files(self, values: Values, request: gr.Request) -> AsyncIterator[Updates]:
        session = self.session(request)
        do = partial(work.write_files, session, self.chosen(session, values))

        def show(written: work.Written) -> Updates:
            links = [(path, file_url(session, path)) for path in written.files]
            session.files = views.files(links)
            text = f"{len(links)} file{'s are' if len(links) != 1 else ' is'} ready."
            done = views.message("failed" if written.notes else "done", text, written.notes)
            return {self.page.files: session.files, self.page.status: done}

        async for updates in self.carry_out(session, self.server.quick, do, show, (self.page.cancel,)):
            yield updates

    async def fly(self, request: gr.Request) -> AsyncIterator[Updates]:
        """A film of the scene."""
        session = self.session(request)

        def show(path: Path) -> Updates:
            session.film = views.film(file_url(session, path), path)
            return {self.page.film: session.film, self.page.status: views.message("done", "The film is ready.")}

        do = partial(work.fly, session)
        async for updates in self.carry_out(session, self.server.films, do, show, (self.page.cancel,)):
            yield updates

    async def download(self, model: str, request: gr.Request) -> AsyncIterator[Updates]:
        from ..models.download import download_checkpoint

        if not self.server.allow_downloads or model not in CHECKPOINTS:
            raise refusal("Models cannot be downloaded here.")
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
            settings = self.page.controls.settings([values[each] for each in components], base)
            session.settings = settings
            return settings
        except ValueError as error:
            raise refusal(error) from error


def _settled(component: Any) -> list[Any]:
    """The events by which a control says that a person has set it; text when it is left or confirmed."""
    if isinstance(component, gr.Textbox | gr.Number):
        return [component.blur, component.submit]
    return [component.input]
