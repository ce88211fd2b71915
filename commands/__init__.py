"""The command line: every file of this folder whose name has no leading underscore is one command.

A command module holds a docstring (its first line is the summary), `add_arguments(parser)` and `run(arguments)`, which
may return an exit code. Heavy imports stay inside `run`, so that `--help` is instant.
"""

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import NoReturn

from ..texts.memory import is_out_of_memory, memory_sentence
from ._allocator import let_segments_grow
from ._terminal import safe_output

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; every error becomes one sentence and an exit code (0 ok, 1 failed, 2 bad input, 130 stopped)."""
    with safe_output():
        return run_command(argv)


def run_command(argv: Sequence[str] | None) -> int:
    """What `main` does, with the terminal as it is."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv and "SPACE_ID" in os.environ:  # Hugging Face runs __main__.py without arguments, behind its own server
        argv = ["demo", "--host", "0.0.0.0"]
    arguments = build_parser(argv).parse_args(argv)
    arguments.argv = argv
    let_segments_grow(os.environ)
    try:
        return arguments.run(arguments) or OK
    except KeyboardInterrupt:
        print("\nStopped. Files that were finished stay; nothing was left half-written.", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if arguments.debug:
            raise
        print(f"error: {describe(error)}", file=sys.stderr)
        return BAD_INPUT if is_bad_input(error) else FAILED


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence too, without the list of all options before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"error: {message}; --help lists what can be given\n")


def build_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser with all commands; only the command that `argv` asks for fills in its options."""
    parser = Parser(prog="manyview", description="Many photos to one 3D scene.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    asked = next((word for word in argv if not word.startswith("-")), None)
    for name in command_names():
        module = importlib.import_module(f"{__name__}.{name}")
        summary, _, details = (module.__doc__ or name).partition("\n")
        command = commands.add_parser(
            name,
            help=summary,
            description=summary + "\n" + details,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == asked:
            module.add_arguments(command)
        command.add_argument("--debug", action="store_true", help="show the whole traceback when something fails")
        command.set_defaults(run=module.run)
    return parser


def command_names() -> list[str]:
    """Names of the files in this folder, without those that commands share."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def is_bad_input(error: Exception) -> bool:
    """True for what the user can mend by changing the command: a value, a missing or an existing file."""
    return isinstance(error, ValueError | FileNotFoundError | FileExistsError | IsADirectoryError | NotADirectoryError)


def describe(error: Exception) -> str:
    """One line saying what went wrong."""
    text = " ".join(str(error).split())
    if is_out_of_memory(error):
        return memory_sentence(error, "use fewer images (--limit), a smaller --resolution or a smaller --frame-chunk.")
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return f"There is no file or folder {error.filename}; check the name."
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename} cannot be used: {error.strerror}."
    if is_bad_input(error) or isinstance(error, ImportError | OSError):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text} (run again with --debug to see where)"
