"""Classes out of somebody's checkout, several of which may use the same package names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


@contextmanager
def checkout(folders: Sequence[Path], packages: Sequence[str]) -> Iterator[dict[str, ModuleType]]:
    """Inside the block, `packages` are imported from `folders`; afterwards they are as they were before.

    The one place that touches sys.path: FastVGGT and VGGT both are a package `vggt`, so neither may stay. After the
    block the dict holds the modules that were imported, for `installed`.
    """
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is not there; give the folder of the checkout.")
    before = taken(packages)
    added = [str(folder) for folder in folders]
    sys.path[:0] = added
    importlib.invalidate_caches()
    modules: dict[str, ModuleType] = {}
    try:
        yield modules
    finally:
        for entry in added:
            sys.path.remove(entry)
        modules.update(taken(packages))
        sys.modules.update(before)


@contextmanager
def installed(modules: dict[str, ModuleType], packages: Sequence[str]) -> Iterator[None]:
    """Inside the block, the modules of a checkout are there again: FastVGGT imports some of its own while it runs.

    `modules` also gets what is imported meanwhile.
    """
    before = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules.update(modules)
    count = len(sys.modules)
    try:
        yield
    finally:
        if len(sys.modules) != count:
            modules.update(taken(packages))
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def taken(packages: Sequence[str]) -> dict[str, ModuleType]:
    """Modules of the packages, taken out of sys.modules."""
    found = {name: module for name, module in sys.modules.items() if name.split(".")[0] in packages}
    for name in found:
        del sys.modules[name]
    return found


def import_class(module: str, name: str, where: Path) -> type:
    """A class or function of a checkout, or one sentence on why it cannot be had."""
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ImportError(f"{where} has no {module}.{name} that can be imported here ({error}).") from error
