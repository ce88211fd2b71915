"""What a message of the page says of files: text, never elements."""

import pytest

pytest.importorskip("gradio")

from manyview.demo.server import refusal
from manyview.workflows.check import check
from manyview.workflows.definitions import kinds
from manyview.workflows.problem import WorkflowError
from manyview.workflows.reading import graph_of


def test_titles_are_shown_as_they_are_written() -> None:
    found = kinds()
    title = "<img src=x onerror=alert(1)>"
    document = {"1": {"class_type": "SaveImage", "inputs": {}, "_meta": {"title": title}}}
    with pytest.raises(WorkflowError) as caught:
        check(graph_of(document, found), found)
    said = refusal(caught.value).message
    assert "<" not in said and "&lt;img src=x" in said
    assert refusal('it\'s "5" & <6>').message == 'it\'s "5" &amp; &lt;6&gt;'
