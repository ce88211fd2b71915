"""Command-line options made from the table in nodes/parameters.py."""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from ..nodes.parameters import Parameter

NO_KERNELS = "no Triton kernels: nothing is compiled, and all but short inputs take longer"


def add_options(parser: argparse.ArgumentParser, title: str, parameters: Iterable[Parameter]) -> None:
    """One option for each parameter, in a titled group of the help."""
    group = parser.add_argument_group(title)
    for parameter in parameters:
        group.add_argument("--" + parameter.name.replace("_", "-"), **_argument(parameter))


def chosen(arguments: argparse.Namespace, parameters: Iterable[Parameter]) -> dict[str, Any]:
    """Keyword arguments for the function that the parameters belong to."""
    return {parameter.name: getattr(arguments, parameter.name) for parameter in parameters}


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, got {text!r}")
    return int(text)


def _argument(parameter: Parameter) -> dict[str, Any]:
    default = parameter.default
    if default is None or isinstance(default, bool):
        default = {None: "not set", True: "yes", False: "no"}[default]
    text = f"{parameter.tooltip} (default: {default})".replace("%", "%%")
    argument: dict[str, Any] = {"default": parameter.default, "help": text}
    if parameter.kind == "bool":
        return argument | {"action": argparse.BooleanOptionalAction}
    if parameter.kind == "choice":
        return argument | {"choices": parameter.choices}
    if parameter.kind in ("int", "float"):
        return argument | {"type": _number(parameter), "metavar": "N" if parameter.kind == "int" else "X"}
    return argument | {"metavar": "TEXT"}


def _number(parameter: Parameter) -> Callable[[str], float]:
    """A converter that also checks the range."""
    convert = int if parameter.kind == "int" else float

    def number(text: str) -> float:
        try:
            value = convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {'a whole' if convert is int else 'a'} number") from None
        if not parameter.minimum <= value <= parameter.maximum:
            raise argparse.ArgumentTypeError(
                f"must be between {parameter.minimum:g} and {parameter.maximum:g}, got {text}"
            )
        return value

    return number
