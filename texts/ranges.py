"""Lists of numbers such as "0,1,20-23": the one place where they are read."""

import re

from .shown import shortened

LARGEST = 99_999  # as many frames as can be loaded, and more layers than any network has
LONGEST = 20_000  # characters
RANGE = re.compile(r"\s*([0-9]+)\s*(?:-\s*([0-9]+)\s*)?")


def parse_ranges(text: str, what: str, example: str = "0,1,20-23") -> list[int]:
    """ "0,3,5-7" -> [0, 3, 5, 6, 7], in order and each once; nothing for nothing.

    `what` names the numbers in errors. The ends are checked before any range is written out, so a text costs at most
    as many numbers as may be named, LARGEST + 1.
    """
    if not isinstance(text, str):
        raise ValueError(f"{what} are numbers and ranges such as {example}, got {type(text).__name__}.")
    if len(text) > LONGEST:
        raise ValueError(f"{what} are a text of {len(text):,} characters; use ranges, as in {example}.")
    if not text.strip():
        return []
    parts = text.rstrip().removesuffix(",").split(",")
    numbers: list[int] = []
    for first, last in sorted(_ends(part, text, what, example) for part in parts):
        numbers.extend(range(max(first, numbers[-1] + 1) if numbers else first, last + 1))
    return numbers


def _ends(part: str, text: str, what: str, example: str) -> tuple[int, int]:
    match = RANGE.fullmatch(part)
    if match is None:
        where = f" in {shortened(text)!r}" if part != text else ""
        raise ValueError(f"{what} are numbers and ranges such as {example}, got {shortened(part)!r}{where}.")
    digits = match[1], match[2] or match[1]
    if any(len(each.lstrip("0")) > len(str(LARGEST)) or int(each) > LARGEST for each in digits):
        raise ValueError(f"{what} go up to {LARGEST:,}, got {shortened(part.strip())}; give smaller numbers.")
    first, last = map(int, digits)
    if last < first:
        raise ValueError(f"{what} have the range {part.strip()}, which ends before it begins; turn it round.")
    return first, last
