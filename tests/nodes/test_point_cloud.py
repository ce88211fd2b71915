"""Frames as text."""

import pytest

from manyview.nodes.point_cloud import parse_frames


@pytest.mark.parametrize(
    ("text", "frames"), [(None, None), (" ", None), ("3", [3]), ("0, 3,5-7", [0, 3, 5, 6, 7]), ("2 - 2", [2])]
)
def test_frames(text: str | None, frames: list[int] | None) -> None:
    assert parse_frames(text) == frames


@pytest.mark.parametrize(
    ("text", "words"), [("a", "such as"), ("1,,2", "such as"), ("-1", "such as"), ("5-3", "turn it")]
)
def test_wrong_frames(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_frames(text)
