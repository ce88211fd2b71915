"""One bar for a whole run, with how long the rest takes."""

from manyview.demo.course import Course, time_left
from manyview.demo.settings import IMAGES, MODEL, RECONSTRUCT


def test_the_bar_covers_all_nodes_and_never_goes_back() -> None:
    course = Course(["1", "2", "4"], {"1": MODEL, "2": IMAGES, "4": RECONSTRUCT})
    shares = []
    for number in ("1", "2", "4"):
        course.start(number)
        shares += [course.share(inside) for inside in (0, 0.5, 1, 0.2)]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    assert shares[4] < 0.3, "the network is the longest part"
    kept = Course(["1", "2", "4"], {"1": MODEL, "2": IMAGES, "4": RECONSTRUCT})
    kept.start("4")
    assert kept.share(0) > 0.1, "what was kept is over"


def test_time_left() -> None:
    assert time_left(0.5, 60) == "about 60 s left"
    assert time_left(0.1, 60) == "about 9 min left"
    assert time_left(0.9, 9) == "a few seconds left"
    assert time_left(0.01, 60) == time_left(0.5, 0.5) == time_left(1, 9) == ""
