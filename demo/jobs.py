"""One queue for all long work: first come, first served, one at a time; each job can be watched and cancelled."""

import contextvars
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..workflows.problem import Cancelled

if TYPE_CHECKING:
    from .course import Course

MOST_WAITING = 50
WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"


class Job:
    """A piece of work. It asks `check` often, and tells `progress` and `show` how far it is."""

    def __init__(self, work: Callable[["Job"], Any]) -> None:
        self.state = WAITING
        self.stage, self.share = "", 0.0  # what it is at, and how much of that is done
        self.course: Course | None = None  # of the whole, where it has several parts
        self.picture: np.ndarray | None = None  # of what there is so far
        self.result: Any = None
        self.error: Exception | None = None
        self.started: float | None = None
        self.ended = threading.Event()
        self._work: Callable[[Job], Any] | None = work
        self._stop = threading.Event()
        self._at_end: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._context = contextvars.copy_context()  # some hosts of demos keep the visitor's quota there

    @property
    def is_over(self) -> bool:
        """Whether it has come to an end, whichever."""
        return self.ended.is_set()

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return 0.0 if self.started is None else time.monotonic() - self.started

    @property
    def overall(self) -> float:
        """The share of the whole that is done, 0 to 1."""
        return self.share if self.course is None else self.course.share(self.share)

    def cancel(self) -> None:
        """Ask it to stop; it does so at its next check."""
        self._stop.set()

    def check(self) -> None:
        """Raise Cancelled if somebody asked."""
        if self._stop.is_set():
            raise Cancelled

    def progress(self, stage: str, done: int, total: int) -> None:
        """Tell how far it is; raises Cancelled if somebody asked to stop."""
        self.check()
        self.stage, self.share = stage, done / total if total else 0.0

    def show(self, picture: np.ndarray) -> None:
        """Show a picture (H, W, 3) uint8 of what there is so far."""
        self.picture = picture

    def run(self) -> None:
        """Do the work, here and now."""
        self.state, self.started = RUNNING, time.monotonic()
        try:
            self.check()
            self.result = self._context.run(self._work, self)
            self.state = DONE
        except Cancelled:
            self.state = CANCELLED
        except Exception as error:  # whoever waits for the job raises it again
            let_go(error)
            self.error, self.state = error, FAILED
        finally:
            self._work = None
            self.end()

    def on_end(self, call: Callable[[], None]) -> None:
        """Call this once the job is over, whichever way; at once if it is."""
        with self._lock:
            if not self.is_over:
                self._at_end.append(call)
                return
        call()

    def end(self) -> None:
        """It is over."""
        with self._lock:
            self.ended.set()
            waiting, self._at_end = self._at_end, []
        for call in waiting:
            call()


def let_go(error: BaseException | None) -> None:
    """Free what the failed functions held: an error that is kept keeps their variables, which may be gigabytes."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            traceback.clear_frames(each.__traceback__)
            waiting += [each.__cause__, each.__context__]


class Jobs:
    """A thread that does jobs one after the other."""

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self.most_waiting = most_waiting
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="manyview-jobs", daemon=True).start()

    def submit(self, work: Callable[[Job], Any]) -> Job:
        """Put work at the end of the queue; ValueError if that is too long."""
        job = Job(work)
        with self._changed:
            if len(self._waiting) >= self.most_waiting:
                raise ValueError(f"{self.most_waiting} others are waiting already; try again in a few minutes.")
            self._waiting.append(job)
            self._changed.notify()
        return job

    def ahead(self, job: Job) -> int:
        """How many jobs come before this one, the running one included."""
        with self._changed:
            place = list(self._waiting).index(job) if job in self._waiting else 0
            return place + (self._running is not None and self._running is not job)

    def cancel(self, job: Job) -> None:
        """Stop a job; one that is waiting leaves the queue at once."""
        job.cancel()
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
                job.state = CANCELLED
                job.end()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                self._running = self._waiting.popleft()
            self._running.run()
            with self._changed:
                self._running = None
