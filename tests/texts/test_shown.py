"""What a terminal may show."""

import pytest

from manyview.texts.shown import shown


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("photo \u00e9 \u4e2d 1.jpg\tx\r\n", "photo \u00e9 \u4e2d 1.jpg\tx\r\n"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J\x08", r"\x9b2J\x08"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\udcff.jpg", r"\udcff.jpg"),
    ],
)
def test_control_signs_are_written_out(text: str, safe: str) -> None:
    assert shown(text) == safe
    shown(text).encode("utf-8")
