"""One bar for a node that works in stages."""

from collections.abc import Mapping

from ...models.progress import Progress

STEPS = 1000


def overall(progress: Progress, shares: Mapping[str, float]) -> Progress:
    """A callback that turns (stage, done, total) of the stages in `shares`, in any order, into steps of one bar.

    shares: the part of the whole that each stage takes. A stage that is left out leaves a gap, one that is not in the
    table stands still; the bar never goes back.
    """
    whole = sum(shares.values())
    reached = 0.0
    before: list[str] = []

    def report(stage: str, done: int, total: int) -> None:
        nonlocal reached
        if stage not in before:
            before.append(stage)
        started = sum(shares.get(name, 0.0) for name in before[: before.index(stage)])
        inside = shares.get(stage, 0.0) * done / max(total, 1)
        reached = max(reached, (started + inside) / whole)
        progress(stage, round(STEPS * reached), STEPS)

    return report
