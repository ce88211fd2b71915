"""What is wrong with a workflow, in sentences for the person who made it."""

from collections.abc import Sequence

SHOWN = 20  # complaints in one message


class WorkflowError(ValueError):
    """A workflow that cannot be read, checked or run; `sentences` holds the complaints one by one."""

    def __init__(self, *sentences: str) -> None:
        self.sentences: Sequence[str] = sentences
        rest = len(sentences) - SHOWN
        super().__init__("\n".join([*sentences[:SHOWN], *([f"And {rest} more."] if rest > 0 else [])]))


class Cancelled(Exception):
    """The person who waits for a graph has stopped it."""


def short(value: object, most: int = 60) -> str:
    """A value as a message may quote it: printable ASCII, never long."""
    text = ascii(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
