"""JSON from anywhere."""

import pytest

from manyview.texts.plain_json import DEEPEST, parse_json


def test_values() -> None:
    assert parse_json('{"a": [1, 2.5, null, true, "x"]}', "it") == {"a": [1, 2.5, None, True, "x"]}
    assert parse_json(b"[" * DEEPEST + b"]" * DEEPEST, "it")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is not proper JSON"),
        (b"\xff", "not UTF-8"),
        ('{"a": 1, "b": 2, "a": 3}', "has 'a' twice"),
        ("[NaN]", "NaN is not a number"),
        ("-Infinity", "-Infinity is not a number"),
        ("[" * 1000 + "]" * 1000, "nested too deep"),
        ("[" * 200_000, "nested too deep"),
        ('{"a":' * 70 + "1" + "}" * 70, "nested too deep"),
        ("9" * 10_000, "not proper JSON"),  # more digits than Python turns into a number
    ],
)
def test_anything_else_is_a_sentence(text: str | bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_json(text, "it")
