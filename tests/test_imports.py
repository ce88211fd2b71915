"""The import graph: one way, without circles, by what the sources say and not by what happens to be loaded."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PARTS = ("texts", "models", "scene", "training", "evaluation", "nodes", "workflows", "demo", "commands")
NOTEBOOK = "_repr_html_"  # a method that a notebook calls; the picture it shows is made by modules that know its class


@pytest.fixture(scope="module")
def modules(root: Path) -> dict[str, Path]:
    """Dotted names of all our modules, and their files."""
    found = {}
    for part in PARTS:
        for path in (root / part).rglob("*.py"):
            names = path.relative_to(root).with_suffix("").parts
            found[".".join(names[:-1] if names[-1] == "__init__" else names)] = path
    return found


def imported(tree: ast.AST) -> Iterator[ast.ImportFrom]:
    """Relative imports of a module and of its functions, without those for type checkers and notebooks."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.FunctionDef) and node.name == NOTEBOOK:
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node
        yield from imported(node)


def edges(name: str, path: Path, modules: dict[str, Path]) -> set[str]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in imported(ast.parse(path.read_text(encoding="utf-8"))):
        base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
        for alias in node.names:
            full = ".".join([*base, alias.name])
            found.add(full if full in modules else ".".join(base))
    return {each for each in found if each in modules and each != name}


def test_no_circles(modules: dict[str, Path]) -> None:
    graph = {name: edges(name, path, modules) for name, path in modules.items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail("imports go in a circle: " + " <- ".join(error.args[1]))
    assert len(order) > 200


@pytest.mark.parametrize(
    ("part", "allowed"),
    [
        ("texts", {"texts"}),
        ("models", {"models", "texts"}),
        ("scene", {"scene", "models", "texts"}),
        ("evaluation", {"evaluation", "models", "scene", "texts", "training", "nodes"}),
        ("training", {"training", "evaluation", "models", "scene", "texts"}),
        ("nodes", {"nodes", "models", "scene", "texts"}),
        ("workflows", {"workflows", "nodes", "models", "scene", "texts"}),
        ("demo", {"demo", "workflows", "nodes", "models", "scene", "texts"}),
    ],
)
def test_parts_know_only_those_below(part: str, allowed: set[str], modules: dict[str, Path]) -> None:
    for name, path in modules.items():
        if name.partition(".")[0] == part:
            strange = {each for each in edges(name, path, modules) if each.partition(".")[0] not in allowed}
            assert not strange, f"{name} imports {', '.join(sorted(strange))}"


def test_nothing_outside_models_asks_for_a_family(root: Path) -> None:
    """What differs between networks is asked of their adapters."""
    for part in PARTS:
        for path in () if part == "models" else (root / part).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Compare) and any(
                    isinstance(each, ast.Constant) and each.value in ("vggt", "pi3", "da3")
                    for each in (node.left, *node.comparators)
                ):
                    asked = ast.unparse(node)
                    assert "family" not in asked or "choice.family" in asked or asked.startswith("family "), (
                        f"{path.relative_to(root)}: {asked}"
                    )
