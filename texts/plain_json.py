"""JSON that may come from anywhere: one value, or ValueError; never another error."""

import json
from typing import Any

DEEPEST = 64  # levels; no file of ours has more than ten


def parse_json(text: str | bytes, what: str, *, constants: bool = False) -> Any:
    """The value; `what` names the text in errors.

    ValueError for what is no JSON, for a name that an object has twice, for NaN and Infinity unless `constants` allows
    them, and for nesting deeper than DEEPEST.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=float if constants else _no_number)
    except RecursionError:  # the parser's own limit
        raise ValueError(f"{what} is nested too deep; {DEEPEST} levels are allowed.") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{what} is not UTF-8 text ({error.reason} at byte {error.start}).") from error
    except ValueError as error:
        raise ValueError(f"{what} is not proper JSON: {error}.") from error
    _check_depth(value, what)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"an object has {twice[:80]!r} twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number that JSON has")


def _check_depth(value: Any, what: str) -> None:
    level, depth = [value], 0
    while level := [
        inner
        for each in level
        if isinstance(each, dict | list)
        for inner in (each.values() if isinstance(each, dict) else each)
    ]:
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"{what} is nested too deep; {DEEPEST} levels are allowed.")
