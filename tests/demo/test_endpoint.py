"""The endpoint as programs use it."""

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from manyview.demo import endpoint

pytestmark = pytest.mark.filterwarnings("default")  # those of gradio are not ours to mend


@pytest.fixture
def client(demo: Any, tmp_path: Path) -> Iterator[Any]:
    api = pytest.importorskip("gradio_client")
    made = api.Client(demo.url, download_files=str(tmp_path / "got"), verbose=False, analytics_enabled=False)
    yield made
    made.close()


def test_reconstruct(client: Any, demo: Any, root: Path) -> None:
    import gradio_client

    photos = [gradio_client.handle_file(str(root / "sample" / f"frame_0{number}.jpg")) for number in (0, 3)]
    summary, files = client.predict(
        photos=photos, method="dense", formats=["ply", "glb", "colmap"], max_points=5000, api_name="/reconstruct"
    )
    assert summary["views"] == 2 and 0 < summary["points"] <= 5000 and summary["attention_computed"] == 1
    assert len(summary["cameras"]["views"]) == 2
    assert sorted(Path(path).suffix for path in files) == [".glb", ".ply", ".zip"]
    assert all(Path(path).stat().st_size > 1000 for path in files)
    assert not demo.visitors, "the photos are gone"


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"photos": []}, "No file was given"),
        ({"resolution": 50}, "14"),
        ({"model": "vggt-1b"}, "vggt-1b"),
        ({"confidence_percentile": 500}, "confidence_percentile"),
    ],
)
def test_errors_are_sentences(client: Any, root: Path, about: dict[str, Any], words: str) -> None:
    import gradio_client

    photos = [gradio_client.handle_file(str(root / "sample" / "frame_00.jpg"))]
    with pytest.raises(gradio_client.exceptions.AppError, match=words):
        client.predict(**({"photos": photos} | about), api_name="/reconstruct")


def test_no_file_of_this_computer_can_be_named(client: Any, demo: Any, tmp_path: Path) -> None:
    import gradio_client

    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    forged = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    with pytest.raises((gradio_client.exceptions.AppError, ValueError)):
        client.predict(photos=[forged], api_name="/reconstruct")
    assert secret.exists(), "it was not moved away"


def test_what_is_offered(demo: Any) -> None:
    def get(path: str) -> Any:
        with urllib.request.urlopen(f"{demo.url}gradio_api/{path}") as answer:
            return json.load(answer)

    assert list(get("info")["named_endpoints"]) == ["/reconstruct"]
    assert [tool["name"] for tool in get("mcp/schema")] == ["reconstruct"]


def test_files_of_old_answers_go(tmp_path: Path) -> None:
    (tmp_path / "new.ply").write_text("ply")
    endpoint.keep(tmp_path / "answers", [])
    old = next((tmp_path / "answers").iterdir())
    young = endpoint.keep(tmp_path / "answers", [tmp_path / "new.ply"])
    assert old.exists() and young[0].read_text() == "ply"
    os.utime(old, (0, 0))
    endpoint.keep(tmp_path / "answers", [])
    assert not old.exists() and young[0].exists()
