"""Visitors: each has a folder, results and settings of their own, which go when they leave."""

import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..workflows.results import Results
from ..workflows.runner import Call, Runner, call_node
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


@dataclass
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
        most_images: int = 300,
        call: Call = call_node,
    ) -> None:
        self.root, self.model_folder, self.device = root, model_folder, device
        self.idle_seconds, self.most_images, self.call = idle_seconds, most_images, call
        self.models = Results(MODEL_BYTES)
        self._sessions: dict[str, Session] = {}
        self._lock = threading.RLock()
        self._ended = False

    def __len__(self) -> int:
        return len(self._sessions)

    def of(self, number: str | None) -> Session:
        """The session of this id, new if there is none."""
        if not number:
            raise ValueError("This page has no session; load it again.")
        self.drop_idle()
        with self._lock:
            session = self._sessions.get(number)
            if session is None:
                if len(self._sessions) >= MOST_SESSIONS:
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
            runner = Runner(host, Results(SESSION_BYTES), shared=self.models, sharing=SHARING, call=self.call)
            return Session(host, runner, Photos(host.base, self.most_images))

    def by_token(self, token: str) -> Session | None:
        """The session that a file's address names."""
        with self._lock:
            found = [each for each in self._sessions.values() if secrets.compare_digest(each.token, token)]
        return found[0] if found else None

    def close(self, number: str | None) -> None:
        """The visitor has left."""
        with self._lock:
            session = self._sessions.pop(number, None) if number else None
        if session is not None:
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
        for number in list(self._sessions):
            self.close(number)
        for folder in self.root.glob("*"):
            shutil.rmtree(folder, ignore_errors=True)


def is_busy(session: Session) -> bool:
    """Whether work of theirs waits or runs."""
    return session.job is not None and not session.job.is_over
