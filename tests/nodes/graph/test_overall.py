"""One bar over several stages."""

from hypothesis import given
from hypothesis import strategies as st

from manyview.nodes.graph.overall import STEPS, overall


@given(st.lists(st.tuples(st.sampled_from("abcx"), st.integers(0, 10), st.integers(0, 10)), max_size=30))
def test_bar_never_goes_back_and_never_leaves_its_range(calls: list) -> None:
    steps = []
    report = overall(lambda stage, done, total: steps.append((done, total)), {"a": 1.0, "b": 2.0, "c": 1.0})
    for stage, done, total in calls:
        report(stage, min(done, total), total)
    values = [done for done, _ in steps]
    assert values == sorted(values) and all(0 <= done <= total == STEPS for done, total in steps)


def test_shares() -> None:
    steps = []
    report = overall(lambda stage, done, total: steps.append((stage, done)), {"a": 1.0, "b": 3.0})
    for call in (("a", 0, 2), ("a", 1, 2), ("b", 0, 4), ("b", 2, 4), ("later", 1, 1)):
        report(*call)
    assert steps == [("a", 0), ("a", 125), ("b", 250), ("b", 625), ("later", 1000)]
