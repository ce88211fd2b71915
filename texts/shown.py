"""Text as a terminal may show it: names of files can hold anything, signs that control the terminal too."""

import re

# Control characters but tab, line feed and carriage return, signs that turn the direction of writing, and bytes that
# are no text (surrogates).
UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    """The text with what could control a terminal written out, as in \\x1b."""
    return UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


def shortened(text: str, most: int = 80) -> str:
    """The text, cut where it is too long for a message."""
    return text if len(text) <= most else text[: most - 3] + "..."
