"""Lists of numbers in texts."""

import pytest

from manyview.models.sparse import SparsityConfig
from manyview.nodes.point_cloud import parse_frames
from manyview.texts.ranges import LARGEST, parse_ranges


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", []),
        (" ", []),
        ("7", [7]),
        ("0,3,5-7", [0, 3, 5, 6, 7]),
        (" 9 - 10 , 1, 9", [1, 9, 10]),
        ("5-9,0-6,2", [*range(10)]),
        ("1,2,", [1, 2]),
        ("007-008", [7, 8]),
        (f"{LARGEST}", [LARGEST]),
    ],
)
def test_numbers_come_in_order_and_once(text: str, numbers: list[int]) -> None:
    assert parse_ranges(text, "Frames") == numbers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0-9999999999", "Frames go up to 99,999, got 0-9999999999"),
        ("9" * 5000, "Frames go up to"),  # more digits than Python turns into a number
        ("100000", "give smaller numbers"),
        ("5-3", "ends before it begins; turn it round"),
        ("1,,2", "such as 0,1,20-23"),
        ("1-2-3", "got '1-2-3'"),
        ("\u0661", "such as"),  # a digit, but not of ASCII
        ("1," * 20_000, "a text of 40,000 characters"),
    ],
)
def test_wrong_texts_are_told_shortly(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="Frames") as error:
        parse_ranges(text, "Frames")
    assert words in str(error.value) and len(str(error.value)) < 300


def test_ranges_over_each_other_cost_no_more_than_their_numbers() -> None:
    # written out one by one they would be 200 million
    assert len(parse_ranges(",".join(["0-99999"] * 2000), "Frames")) == LARGEST + 1


@pytest.mark.parametrize("text", ["0-9999999999", "1-99999999999999999999"])
def test_every_reader_of_ranges_checks_the_ends_first(text: str) -> None:
    with pytest.raises(ValueError, match="go up to"):
        parse_frames(text)
    with pytest.raises(ValueError, match="go up to"):
        SparsityConfig(rho=0.5, dense_layers=text)
    with pytest.raises(ValueError, match="got int"):
        SparsityConfig(rho=0.5, dense_layers=3)
