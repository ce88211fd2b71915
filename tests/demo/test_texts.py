"""What people read has no ids of nodes and no folders of the computer."""

from pathlib import Path

import pytest

from manyview.demo.server import sentence
from manyview.demo.texts import plain, sparsity_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Node 4 (Inference): bad", "Inference: bad"),
        ("Node 7:3 (Sparsity Control (compared with)): too", "Sparsity Control (compared with): too"),
        ("can only run in ComfyUI: Foo (node 3, 4); run it there", "can only run in ComfyUI: Foo; run it there"),
        ("/tmp/a b/sessions/q/x.jpg is bad", "x.jpg is bad"),
        ("no schedule in /home/q/models; put one", "no schedule in models; put one"),
        ("C:\\Users\\me\\a.jpg is bad", "a.jpg is bad"),
        ("see https://example.com/c/d.jpg, 3/4 of it", "see https://example.com/c/d.jpg, 3/4 of it"),
        ("1920 x 1080, a/b.png", "1920 x 1080, a/b.png"),
    ],
)
def test_plain(text: str, shown: str) -> None:
    assert plain(text, Path("/tmp/a b")) == shown


def test_sentences_of_errors(tmp_path: Path) -> None:
    try:
        (tmp_path / "gone" / "a.jpg").read_bytes()
    except OSError as error:
        said = sentence(error)
    assert said.startswith("a.jpg: ") and str(tmp_path) not in said
    assert sentence(ValueError("Node 3 (Load Images): no")) == "Load Images: no"
    assert "KeyError" in sentence(KeyError("x")) and "x" not in sentence(KeyError("x")).split("KeyError")[0][-3:]


def test_what_is_compared_is_named() -> None:
    assert sparsity_text({"method": "dense"}) == "dense"
    assert sparsity_text({"method": "custom", "method.rho": 0.5, "method.tau": 0.0}) == "custom (rho 0.5)"
