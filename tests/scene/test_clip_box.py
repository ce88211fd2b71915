"""A box along any directions: how it is written, and what is inside."""

import numpy as np
import pytest

from manyview.scene.clip_box import EXAMPLE, Slab, in_clip_box, parse_clip_box
from manyview.scene.pointcloud import point_cloud


def test_text_is_read() -> None:
    assert parse_clip_box(None) is None and parse_clip_box("  ") is None
    assert parse_clip_box("1 0 0 -2 2; 0,1,0,-inf,1.5 ;") == [Slab((1, 0, 0), -2, 2), Slab((0, 1, 0), -np.inf, 1.5)]
    assert len(parse_clip_box(EXAMPLE)) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 0 0 2", "five numbers"),
        ("1 0 0 a 2", "five numbers"),
        ("0 0 0 1 2", "finite length"),
        ("inf 0 0 1 2", "finite length"),
        ("1 0 0 2 1", "turn it round"),
        ("1 0 0 nan 1", "turn it round"),
        ("1 0 0 0 1;" * 101, "100 are allowed"),
        ("x" * 5000, r"\.\.\."),
    ],
)
def test_other_texts_are_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse_clip_box(text)
    assert len(str(caught.value)) < 400


def test_inside_is_between_all_sides() -> None:
    points = np.array([[0, 0, 0], [1, 1, 0], [2, 0, 0], [1, 0, 0], [np.nan, 0, 0]], np.float32)
    box = parse_clip_box("1 1 0 0 1.5; 1 0 0 0.5 inf")
    assert in_clip_box(points, box).tolist() == [False, False, False, True, False]


def test_cloud_is_cut_before_it_is_thinned(room) -> None:
    whole = point_cloud(room, max_points=None, outlier_filter=False)
    middle = float(np.median(whole.points[:, 0]))
    half = point_cloud(room, max_points=None, outlier_filter=False, clip_box=parse_clip_box(f"1 0 0 -inf {middle}"))
    assert 0.4 < len(half) / len(whole) < 0.6 and half.points[:, 0].max() <= middle
    few = point_cloud(room, max_points=200, clip_box=parse_clip_box(f"1 0 0 -inf {middle}"))
    assert 100 < len(few) <= 200
