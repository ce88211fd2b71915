"""Visitors: each has a folder, results and settings of their own, which go when they leave."""

import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..workflows.results import Results
from ..workflows.runner import Call, Runner, call_node
from .dense_once import DenseOnce
from .host import SessionHost
from .jobs import Job
from .opened import Opened
from .photos import Photos
from .settings import Settings
from .work import Outcome

SESSION_BYTES = 4 * 2**30  # of results that a visitor's graphs keep in memory
MODEL_BYTES = 8 * 2**30  # of models that are kept for everybody
MOST_SESSIONS = 64
SHARING = frozenset({"ManyView_LoadModel"})
LEAVE_SECONDS = 120.0  # how long everything of a page that was left waits for it to be loaded again


@dataclass(eq=False)
class Session:
    """One visitor. `token` stands in the addresses of their files; nobody can guess it."""

    host: SessionHost
    runner: Runner
    photos: Photos
    token: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    settings: Settings = field(default_factory=Settings)
    outcome: Outcome | None = None  # of the last reconstruction
    job: Job | None = None  # the last one; it may be over
    seen: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)  # held while a graph of theirs runs
    opened: Opened | None = None  # the workflow that was opened last
    watch: Any = None  # the last job with what it shows at its end (runs.Watch)
    visits: int = 1  # how often a page has shown it
    files: str = ""  # the list of files that the page shows

    def cancel(self) -> None:
        """Stop what is running for them."""
        if self.job is not None:
            self.job.cancel()

    def close(self) -> None:
        """Stop what runs and delete all that is theirs."""
        self.cancel()
        with self.lock:
            self.runner.results.clear()
            self.outcome = None
            shutil.rmtree(self.host.base, ignore_errors=True)


class Sessions:
    """The visitors by the page's id of their session."""

    def __init__(
        self,
        root: Path,
        model_folder: Path,
        device: torch.device,
        *,
        idle_seconds: float = 3600,
        leave_seconds: float = LEAVE_SECONDS,
        most_images: int = 300,
        call: Call = call_node,
    ) -> None:
        self.root, self.model_folder, self.device = root, model_folder, device
        self.idle_seconds, self.most_images, self.call = idle_seconds, most_images, call
        self.leave_seconds = leave_seconds
        self.models = Results(MODEL_BYTES)
        self._sessions: dict[str, Session] = {}
        self._left: dict[str, Session] = {}  # by token: those whose page is gone, for a while
        self._lock = threading.RLock()
        self._ended = False

    def __len__(self) -> int:
        return len(self._all())

    def of(self, number: str | None) -> Session:
        """The session of this id, new if there is none."""
        if not number:
            raise ValueError("This page has no session; load it again.")
        self.drop_idle()
        with self._lock:
            session = self._sessions.get(number)
            if session is None:
                if len(self) >= MOST_SESSIONS:
                    raise ValueError(f"{MOST_SESSIONS} people are here already; try again in a few minutes.")
                session = self._sessions[number] = self.make()
            session.seen = time.monotonic()
            return session

    def make(self) -> Session:
        """A session that nobody else knows; whoever makes it closes it."""
        with self._lock:
            if self._ended:
                raise ValueError("The demo is being closed.")
            host = SessionHost(self.root / secrets.token_hex(16), self.model_folder, self.device)
            runner = Runner(
                host, Results(SESSION_BYTES), shared=self.models, sharing=SHARING, call=DenseOnce(self.call)
            )
            return Session(host, runner, Photos(host.base, self.most_images))

    def by_token(self, token: str) -> Session | None:
        """The session that a file's address names."""
        wanted = token.encode()
        found = [each for each in self._all() if secrets.compare_digest(each.token.encode(), wanted)]
        return found[0] if found else None

    def resume(self, number: str | None, token: str) -> tuple[Session, bool]:
        """The session that a page had before it was loaded again, and True; else the one of `of`, and False."""
        with self._lock:
            found = self.by_token(token) if number and token else None
            if found is not None:
                self._left.pop(found.token, None)
                self._sessions[number] = found
                found.visits += 1
        return self.of(number), found is not None

    def leave(self, number: str | None) -> None:
        """A page is gone. Unless it comes back, or another shows the same session, that is closed in a while."""
        with self._lock:
            session = self._sessions.pop(number, None) if number else None
            if session is None or session in self._sessions.values():
                return
            self._left[session.token] = session
        timer = threading.Timer(self.leave_seconds, self._close_left, [session.token, session.visits])
        timer.daemon = True
        timer.start()

    def close(self, number: str | None) -> None:
        """Close a session for all pages that show it."""
        with self._lock:
            session = self._sessions.get(number) if number else None
            if session is None:
                return
            for page in [page for page, each in self._sessions.items() if each is session]:
                del self._sessions[page]
        session.close()

    def drop_idle(self) -> None:
        """Close sessions that nobody has used for a while; those with running work stay."""
        oldest = time.monotonic() - self.idle_seconds
        with self._lock:
            idle = [number for number, each in self._sessions.items() if each.seen < oldest and not is_busy(each)]
        for number in idle:
            self.close(number)

    def close_all(self) -> None:
        """The program ends: nobody comes any more, and what threads that end with it were still deleting goes too."""
        with self._lock:
            self._ended = True
        with self._lock:
            everybody = self._all()
            self._sessions.clear()
            self._left.clear()
        for session in everybody:
            session.close()
        for folder in self.root.glob("*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _all(self) -> list[Session]:
        """Every session once."""
        with self._lock:
            found = [*self._sessions.values(), *self._left.values()]
        return list({each.token: each for each in found}.values())

    def _close_left(self, token: str, visits: int) -> None:
        """Close a session if nobody has come back to it since its page went for the n-th time."""
        with self._lock:
            session = self._left.get(token)
            if session is None or session.visits != visits:
                return
            del self._left[token]
        session.close()


def is_busy(session: Session) -> bool:
    """Whether work of theirs waits or runs."""
    return session.job is not None and not session.job.is_over
