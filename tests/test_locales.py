"""Translations: every text of every node in every language, and nothing else."""

import json
import runpy
from pathlib import Path

import pytest

LANGUAGES = ("en", "zh", "ja")


def shape(value: object) -> object:
    """The same dicts with every text replaced by True, False for an empty one."""
    return {key: shape(each) for key, each in value.items()} if isinstance(value, dict) else bool(value)


@pytest.fixture(scope="module")
def english(root: Path) -> dict:
    """The texts as the schemas have them."""
    writer = runpy.run_path(str(root / "tests" / "nodes" / "write_object_info.py"), run_name="writer")
    info = json.loads((root / "nodes" / "object_info.json").read_text(encoding="utf-8"))
    return {name: writer["texts"](about) for name, about in info.items()}


def read(root: Path, language: str) -> dict:
    return json.loads((root / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))


def test_english_is_that_of_the_schemas(root: Path, english: dict) -> None:
    assert read(root, "en") == english, "locales/en is old: run python tests/nodes/write_object_info.py"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated(root: Path, english: dict, language: str) -> None:
    assert shape(read(root, language)) == shape(english)


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_descriptions_are_in_the_language(root: Path, language: str) -> None:
    for node in read(root, language).values():
        assert not node["description"].isascii() and not node["display_name"].isascii()


def test_there_is_no_other_language_half_done(root: Path) -> None:
    assert {path.name for path in (root / "locales").iterdir()} == set(LANGUAGES)
