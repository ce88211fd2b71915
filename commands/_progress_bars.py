"""Progress bars in the terminal, one for each stage."""

from types import TracebackType

from tqdm import tqdm

FORMAT = "{desc} {bar:30} {n_fmt}/{total_fmt} [{elapsed}]"
SHORTEST_S = 0.3  # stages shorter than that get no bar


class ProgressBars:
    """A progress callback that draws, if there is a terminal; use it in a `with`, so that the last bar is closed."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stage: str | None = None

    def __enter__(self) -> "ProgressBars":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(finished=error is None)

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._bar is None or self._stage != stage:
            self._close(finished=True)
            self._stage = stage
            self._bar = tqdm(desc=stage.ljust(18), total=total, bar_format=FORMAT, delay=SHORTEST_S, disable=None)
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def _close(self, finished: bool) -> None:
        """A stage reports what is done before each part; when the next stage begins, all of it is done."""
        if self._bar is None:
            return
        if finished and self._bar.total:
            self._bar.update(self._bar.total - self._bar.n)
        self._bar.close()
        self._bar = None
