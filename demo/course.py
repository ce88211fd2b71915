"""How far a run of several nodes is as a whole, and how long the rest may take."""

from collections.abc import Mapping, Sequence

from . import settings as names

WEIGHTS = {  # what a node usually takes of a run, as parts of any size; the network is by far the longest
    names.MODEL: 10,
    names.IMAGES: 8,
    names.RECONSTRUCT: 100,
    names.POINTS: 6,
    names.PREVIEW: 10,
    names.EXPORT: 15,
    names.COLMAP: 25,
    names.DEPTH: 10,
    names.COMPARE: 4,
}
OTHER = 2.0
SURE = 0.06  # share of a run after which a guess of the rest is worth being shown
SURE_S = 2.0


class Course:
    """The nodes of a run in their order, by number, with their classes."""

    def __init__(self, numbers: Sequence[str], classes: Mapping[str, str]) -> None:
        self.numbers = list(numbers)
        self.weights = [WEIGHTS.get(classes[number], OTHER) for number in self.numbers]
        self.place = 0
        self.reached = 0.0

    def start(self, number: str) -> None:
        """A node begins; all before it are over, or were kept from another run."""
        self.place = self.numbers.index(number)

    def share(self, inside: float) -> float:
        """The share of the run that is over, 0 to 1; `inside` is that of the node's own work. It never goes back."""
        done = sum(self.weights[: self.place]) + min(max(inside, 0.0), 1.0) * self.weights[self.place]
        self.reached = max(self.reached, done / sum(self.weights))
        return self.reached


def time_left(share: float, seconds: float) -> str:
    """How long the rest takes if it goes on like this, in words; "" while nobody can tell."""
    if share < SURE or seconds < SURE_S or share >= 1:
        return ""
    left = seconds * (1 - share) / share
    if left < 5:
        return "a few seconds left"
    if left < 90:
        return f"about {5 * round(left / 5)} s left"
    return f"about {round(left / 60)} min left"
