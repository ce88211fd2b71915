"""The viewer as one page. tests/web and tests/host open it."""

import re
import shutil
from pathlib import Path

import pytest

from manyview.nodes.viewer_page import bundle, viewer_page


def test_page_needs_no_other_file_and_allows_none(root: Path) -> None:
    page = viewer_page()
    assert not re.search(r'(?:src|href)="', page) and "script-src 'sha256-" in page
    assert not re.search(r"^\s*(?:import|export) ", page, re.MULTILINE)
    modules = list((root / "web" / "viewer").rglob("*.mjs"))
    assert page.count("= (() => {\n") == len(modules), "a module is left out, or nobody imports it"


def test_modules_see_what_they_import_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.mjs").write_text(
        'import { two as zwei } from "./b.mjs";\nimport * as c from "./in/c.mjs";\nlet x = zwei + c.x;\n'
    )
    (tmp_path / "b.mjs").write_text("const x = 1;\nexport const two = 2 * x;\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "c.mjs").write_text('import { two } from "../b.mjs";\nexport const x = two;\n')
    script = bundle(tmp_path / "a.mjs")
    assert script.count("const two") == 1 and "const { two: zwei } = module0;" in script
    assert "const c = module1;" in script and script.index("module1 =") < script.index("module2 =")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('import { a } from "./a.mjs";\n', "imports itself"),
        ('import a from "./b.mjs";\n', "does not read"),
        ("export default 1;\n", "does not read"),
    ],
)
def test_what_it_cannot_put_together_is_said(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.mjs").write_text(text)
    with pytest.raises(ValueError, match=words):
        bundle(tmp_path / "a.mjs")


def test_a_page_of_another_form_is_refused(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "web" / "viewer", tmp_path / "viewer")
    (tmp_path / "viewer.html").write_text("<main></main>")
    with pytest.raises(ValueError, match="must be there 1 times"):
        viewer_page(tmp_path)
