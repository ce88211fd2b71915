"""What commands write to the terminal: text only, whatever the names of files hold."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from ..texts.shown import shown


class SafeStream:
    """A stream that writes out what could control the terminal; everything else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        text = shown(text)
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:  # a terminal or a file of a code page that lacks a letter
            encoding = self._stream.encoding
            return self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def safe_output() -> Iterator[None]:
    """While a command runs, everything printed or logged goes through `shown`."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and SafeStream(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
