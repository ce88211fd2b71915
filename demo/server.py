"""What all visitors share: queues, models, limits."""

import asyncio
import logging
import re
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from ..texts.memory import is_out_of_memory, memory_sentence
from ..workflows.problem import Cancelled
from . import views
from .jobs import Job, Jobs
from .places import Guest, Places
from .sessions import Sessions
from .texts import plain

logger = logging.getLogger(__name__)
CODE = Path(__file__).resolve().parents[1]
ANONYMOUS = re.compile(r"[0-9a-f]{32}|")  # what gradio gives to a call that says nothing of a session
LOOK_S = 0.15  # between two looks at a job


@dataclass(frozen=True)
class Limits:
    """What programs may give at a time."""

    images: int = 300
    upload_bytes: int = 500_000_000


@dataclass
class Server:
    """jobs run the network, one at a time; quick work, downloads and films have queues of their own."""

    sessions: Sessions
    root: Path  # where everything lies that is deleted in the end
    allow_downloads: bool = True
    jobs: Jobs = field(default_factory=Jobs)
    quick: Jobs = field(default_factory=Jobs)
    downloads: Jobs = field(default_factory=Jobs)
    films: Jobs = field(default_factory=Jobs)
    places: Places = field(default_factory=Places)
    limits: Limits = field(default_factory=Limits)

    @property
    def uploads(self) -> Path:
        """Where gradio puts what visitors send."""
        return self.root / "gradio"

    def guest(self, request: Any) -> Guest:
        """Who is behind a request of gradio's: a user, a page, or without either an address."""
        number, address = request.session_hash or "", request.client.host if request.client else ""
        name = request.username or ("" if ANONYMOUS.fullmatch(number) else number) or address
        return Guest(name, address, self.sessions.is_open(number))

    @property
    def answers(self) -> Path:
        """Where files of the endpoint wait to be fetched."""
        return self.root / "gradio" / "answers"


async def follow(jobs: Jobs, job: Job, goes_on: bool = False) -> AsyncIterator[str]:
    """The status of a job whenever it changes, until it is over; then what it raised.

    Whoever stops to listen stops the job, unless it goes on: somebody may listen again.
    """
    shown = ""
    try:
        while not job.is_over:
            html = views.status(job, jobs.ahead(job))
            if html != shown:
                yield html
                shown = html
            await asyncio.sleep(LOOK_S)
    finally:
        if not job.is_over and not goes_on:
            jobs.cancel(job)
    if job.error is not None:
        raise job.error


async def result_of(jobs: Jobs, job: Job) -> object:
    """What a job gives, without looking; Cancelled if it was."""
    async for _ in follow(jobs, job):
        pass
    if job.result is None and job.error is None:
        raise Cancelled
    return job.result


def refusal(error: BaseException | str, duration: float | None = 10) -> Any:
    """The error that the page shows: it takes messages for HTML, and they may quote files."""
    import gradio as gr

    text = error if isinstance(error, str) else sentence(error)
    return gr.Error(escape(text, quote=False), duration=duration, print_exception=False)


def sentence(error: BaseException) -> str:
    """What to tell a visitor of an error; what is not meant for people is logged and told as such."""
    if is_out_of_memory(error):
        return memory_sentence(error, "use fewer photos, a smaller resolution or a smaller model.")
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{Path(str(error.filename)).name}: {error.strerror}."
    if isinstance(error, ValueError | OSError | ImportError) and str(error).strip():
        return plain(str(error), CODE, Path(tempfile.gettempdir()), Path.home())
    logger.error("unexpected error in the demo", exc_info=error)
    return f"Something went wrong that should not ({type(error).__name__}); the program's output says more."
