"""Visitors: each has a folder, results and settings of their own, which go when they leave."""

import asyncio
import hashlib
import hmac
import secrets
import shutil
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..nodes.graph.host import IMAGE_BYTES
from ..workflows.results import Results
from ..workflows.runner import Call, Runner, call_node
from .dense_once import DenseOnce
from .host import DISK_BYTES, SessionHost
from .jobs import Job
from .opened import Opened
from .photos import Photos
from .places import Guest
from .settings import Settings
from .work import Outcome

SESSION_BYTES = 4 * 2**30  # of results that a visitor's graphs keep in memory
MODEL_BYTES = 8 * 2**30  # of models that are kept for everybody
MOST_SESSIONS = 64
MOST_USERS = 10_000  # sessions whose users are remembered
UNUSED_S = 300  # after which one goes in which nothing was done
LONGEST_ID = 100
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
    looking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))  # one of their files at a time
    user: str = ""  # who began it, where people log in
    guest: Guest = field(default_factory=lambda: Guest(""))  # who asked last
    opened: Opened | None = None  # the workflow that was opened last
    watch: Any = None  # the last job with what it shows at its end (runs.Watch)
    visits: int = 1  # how often a page has shown it
    files: str = ""  # the list of files that the page shows
    film: str = ""  # and the film

    @property
    def is_unused(self) -> bool:
        """Whether it is as it began, so that nobody would miss it."""
        untouched = self.outcome is None and self.opened is None and self.watch is None and not is_busy(self)
        return untouched and self.photos.is_untouched and self.settings == Settings()

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
        most_image_bytes: int = IMAGE_BYTES,
        most_disk_bytes: int = DISK_BYTES,
        call: Call = call_node,
    ) -> None:
        self.root, self.model_folder, self.device = root, model_folder, device
        self.idle_seconds, self.most_images, self.call = idle_seconds, most_images, call
        self.leave_seconds = leave_seconds
        self.most_image_bytes, self.most_disk_bytes = most_image_bytes, most_disk_bytes
        self.models = Results(MODEL_BYTES)
        self._sessions: dict[str, Session] = {}
        self._left: dict[str, Session] = {}  # by token: those whose page is gone, for a while
        self._users: OrderedDict[str, str] = OrderedDict()  # who logged in and uses a session, by its id
        self._open: Counter[str] = Counter()  # pages that are open, by the id of their session
        self._secret = secrets.token_bytes(32)
        self._lock = threading.RLock()
        self._ended = False

    def __len__(self) -> int:
        return len(self._all())

    def find(self, number: str | None) -> Session | None:
        """The session of this id, if something was done in it."""
        with self._lock:
            session = self._sessions.get(number) if number else None
            if session is not None:
                session.seen = time.monotonic()
            return session

    def of(self, number: str | None, user: str = "") -> Session:
        """The session of this id, which begins with the first thing that a visitor does."""
        if not number or len(number) > LONGEST_ID:
            raise ValueError("This page has no session; load it again.")
        self.drop_idle()
        gone = None
        with self._lock:
            session = self.find(number)
            if session is None:
                gone = self._make_room()
                session = self._sessions[number] = self.make()
                session.token, session.user = self.token_of(number), user
        if gone is not None:
            gone.close()
        return session

    def token_of(self, number: str) -> str:
        """The token that the session of this id has or will have."""
        return hmac.new(self._secret, number.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:40]

    def belongs_to(self, number: str, user: str) -> bool:
        """Whether a session is this user's; one that nobody has used yet becomes it."""
        with self._lock:
            owner = self._users.setdefault(number[: LONGEST_ID + 1], user)
            self._users.move_to_end(number[: LONGEST_ID + 1])
            while len(self._users) > MOST_USERS:
                self._users.popitem(last=False)
            return owner == user

    @contextmanager
    def page_open(self, number: str) -> Iterator[None]:
        """Know of an open page as long as this lasts."""
        with self._lock:
            self._open[number] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[number] -= 1
                if not self._open[number]:
                    del self._open[number]

    def is_open(self, number: str | None) -> bool:
        """Whether the page of a session is open."""
        return bool(number) and number in self._open

    def make(self) -> Session:
        """A session that nobody else knows; whoever makes it closes it."""
        with self._lock:
            if self._ended:
                raise ValueError("The demo is being closed.")
            host = SessionHost(
                self.root / secrets.token_hex(16),
                self.model_folder,
                self.device,
                most_image_bytes=self.most_image_bytes,
                most_disk_bytes=self.most_disk_bytes,
            )
            runner = Runner(
                host, Results(SESSION_BYTES), shared=self.models, sharing=SHARING, call=DenseOnce(self.call)
            )
            return Session(host, runner, Photos(host.base, self.most_images))

    def by_token(self, token: str) -> Session | None:
        """The session that a file's address names."""
        wanted = token.encode("utf-8", "replace")
        found = [each for each in self._all() if secrets.compare_digest(each.token.encode(), wanted)]
        return found[0] if found else None

    def resume(self, number: str | None, token: str, user: str = "") -> Session | None:
        """The session that a page had before it was loaded again, now by the page's new id; None if there is none."""
        with self._lock:
            found = self.by_token(token) if number and token else None
            if found is None or found.user != user:
                return None
            self._left.pop(found.token, None)
            self._sessions[number] = found
            found.visits += 1
            found.seen = time.monotonic()
            return found

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
            self._forget(session)
        session.close()

    def drop_idle(self) -> None:
        """Close sessions that nobody has used for a while; those with running work stay."""
        now = time.monotonic()
        with self._lock:
            idle = [
                number
                for number, each in self._sessions.items()
                if now - each.seen > (min(UNUSED_S, self.idle_seconds) if each.is_unused else self.idle_seconds)
                and not is_busy(each)
            ]
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

    def _make_room(self) -> Session | None:
        """Make a place for one more; the session that gave way, to be closed. ValueError if all are in use.

        Unused ones go first, then those that have no open page; of these the one that was left alone longest.
        """
        oldest_first = sorted(self._all(), key=lambda each: each.seen)
        if len(oldest_first) < MOST_SESSIONS:
            return None
        opened = {id(each) for number, each in self._sessions.items() if number in self._open}
        unused = [each for each in oldest_first if each.is_unused]
        left = [each for each in oldest_first if id(each) not in opened and not is_busy(each)]
        if not unused and not left:
            raise ValueError(f"{MOST_SESSIONS} people are here already; try again in a few minutes.")
        gone = [*unused, *left][0]
        self._forget(gone)
        return gone

    def _forget(self, session: Session) -> None:
        """No page shows it any more."""
        self._left.pop(session.token, None)
        for page in [page for page, each in self._sessions.items() if each is session]:
            del self._sessions[page]

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
