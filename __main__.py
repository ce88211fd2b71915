"""Start of every command: `python <this folder> reconstruct photos/`.

The checkout may have any name, so it is registered as the package `manyview` before anything of ours is imported.
"""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def register_package() -> None:
    """Make `import manyview` mean this checkout, exactly as ComfyUI's loader would load it."""
    if "manyview" in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(
        "manyview", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules["manyview"] = package
    spec.loader.exec_module(package)


def main() -> int:
    """Run the command named on the command line and return its exit code."""
    register_package()
    from manyview.commands import main as run_command

    return run_command()


if __name__ != "manyview.__main__":  # as a program, in its spawned workers, and by tests/conftest.py
    # `python <folder>` puts the folder on sys.path, where nodes/ or models/ could hide other packages.
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != ROOT]
    register_package()

if __name__ == "__main__":
    sys.exit(main())
