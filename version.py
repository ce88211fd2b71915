"""The version of this copy, from the one place where it is written: pyproject.toml, or what was installed from it."""

import re
from importlib.metadata import version
from pathlib import Path


def _version() -> str:
    project = Path(__file__).with_name("pyproject.toml")
    if not project.is_file():  # an installed wheel
        return version("manyview")
    found = re.search(r'^version = "([^"]+)"', project.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(f"{project} names no version; get an undamaged copy.")
    return found[1]


__version__ = _version()
