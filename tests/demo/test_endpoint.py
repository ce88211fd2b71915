"""The endpoint as programs use it."""

import asyncio
import base64
import http.client
import importlib.util
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from manyview.demo import endpoint

_path = Path(__file__).resolve().parents[1] / "fuzz" / "addresses.py"
_spec = importlib.util.spec_from_file_location("manyview_tests_addresses", _path)
_addresses = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_addresses)
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


def test_reconstruct_a_video(client: Any, root: Path) -> None:
    import gradio_client

    (video,) = (root / "sample").glob("*.mp4")
    summary, files = client.predict(
        photos=[gradio_client.handle_file(str(video))], limit=2, method="dense", formats=[], api_name="/reconstruct"
    )
    assert summary["views"] == 2 and summary["points"] > 1000 and not files


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
    inside = {"path": f"{demo.url}manyview/sample/frame_00.jpg", "meta": {"_type": "gradio.FileData"}}
    for one in (forged, {"path": str(secret)}, str(secret), secret.as_uri(), inside):
        with pytest.raises((gradio_client.exceptions.AppError, ValueError)) as error:
            client.predict(photos=[one], api_name="/reconstruct")
    assert "only public addresses are fetched" in str(error.value), "also by what gradio would fetch itself"
    assert secret.exists(), "it was not moved away"


def test_what_is_offered(demo: Any) -> None:
    def get(path: str) -> Any:
        with urllib.request.urlopen(f"{demo.url}gradio_api/{path}") as answer:
            return json.load(answer)

    assert list(get("info")["named_endpoints"]) == ["/reconstruct"]
    assert [tool["name"] for tool in get("mcp/schema")] == ["reconstruct"]


def test_too_large_an_upload_is_refused(demo: Any) -> None:
    assert upload(demo, "a.jpg", bytes(1_000_000)).endswith("a.jpg")
    with pytest.raises(urllib.error.HTTPError, match="413"):
        upload(demo, "a.jpg", bytes(21_000_000))  # the demo of these tests takes 20 MB


def test_as_an_mcp_tool(client: Any, demo: Any, root: Path) -> None:
    """Photos by data: URI and as the address of an upload; refused ones with a sentence."""
    mcp = pytest.importorskip("mcp", reason="mcp is not installed (pip install gradio[mcp])")
    from mcp.client import streamable_http

    # It was renamed.
    connect = getattr(streamable_http, "streamable_http_client", None) or streamable_http.streamablehttp_client

    async def call(*photos: str) -> Any:
        async with (
            connect(f"{demo.url}gradio_api/mcp/") as (reader, writer, _),
            mcp.ClientSession(reader, writer) as session,
        ):
            await session.initialize()
            assert [tool.name for tool in (await session.list_tools()).tools] == ["reconstruct"]
            return await session.call_tool(
                "reconstruct",
                {"photos": list(photos), "method": "dense", "formats": ["ply"], "max_points": 5000},
            )

    def text_of(*photos: str) -> tuple[bool, str]:
        found = asyncio.run(call(*photos))
        return found.isError, " ".join(part.text for part in found.content)

    first, second = (root / "sample" / f"frame_0{number}.jpg" for number in (0, 3))
    encoded = f"data:image/jpeg;base64,{base64.b64encode(first.read_bytes()).decode()}"
    uploaded = f"{demo.url}gradio_api/file={upload(demo, second.name, second.read_bytes())}"
    failed, text = text_of(encoded, uploaded)
    assert not failed and "'views': 2" in text
    address = re.search(r"http\S+?\.ply", text)[0]
    with urllib.request.urlopen(address) as answer:
        assert answer.read(3) == b"ply"
    assert not demo.visitors, "the photos are gone"
    for photo, words in (
        (str(first), "is no web address and no data: URI"),
        (f"{demo.url}sample/frame_00.jpg", "cannot be fetched"),  # this computer's own network stays closed
        (f"{demo.url}gradio_api/file={first}", "was not uploaded here"),
        ("data:image/jpeg,abc", "without base64"),
        ("data:image/jpeg;base64,a", "is not valid base64"),
    ):
        failed, text = text_of(photo)
        assert failed and words in text


def upload(demo: Any, name: str, content: bytes) -> str:
    """Send a file as gradio's clients do; where it lies there."""
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    request = urllib.request.Request(
        f"{demo.url}gradio_api/upload",
        head + content + b"\r\n--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)[0]


def test_many_jobs_of_one_visitor_leave_room_for_others(demo: Any, root: Path) -> None:
    """Sixty calls; the page still comes, and so does the place of somebody else."""
    photo = "data:image/jpeg;base64," + base64.b64encode((root / "sample" / "frame_00.jpg").read_bytes()).decode()
    demo.hold(True)

    def call(**who: str) -> str:
        """Where the answer to a call will be; those without a session count by their address."""
        body = {"data": [[photo], "mini", "dense", 0, 0, 10, 1000, []], **who}
        url = f"{demo.url}gradio_api/call/reconstruct"
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return f"{url}/{json.load(answer)['event_id']}"

    def answer_to(call: str) -> str:
        with urllib.request.urlopen(call, timeout=120) as answer:
            return answer.read().decode()

    calls = [call() for _ in range(60)]
    with urllib.request.urlopen(demo.url, timeout=120) as answer:
        assert answer.status == 200
    other = call(session_hash="other")
    refused = [answer_to(each) for each in calls[4:]]
    demo.hold(False)
    assert all("4 pieces of work waiting or running already" in text for text in refused)
    assert "event: complete" in answer_to(other) and "event: complete" in answer_to(calls[0])


def test_odd_addresses(demo: Any, fuzz_cases: int) -> None:
    """Gradio's own among them."""
    host = urllib.parse.urlsplit(demo.url)
    for address in _addresses.odd_addresses(2 * fuzz_cases, seed=1):
        connection = http.client.HTTPConnection(host.hostname, host.port, timeout=60)
        connection.putrequest("GET", address.partition("#")[0], skip_accept_encoding=True)
        connection.endheaders()
        assert connection.getresponse().status < 500, address
        connection.close()


def test_files_of_old_answers_go(tmp_path: Path) -> None:
    (tmp_path / "new.ply").write_text("ply")
    endpoint.keep(tmp_path / "answers", [])
    old = next((tmp_path / "answers").iterdir())
    young = endpoint.keep(tmp_path / "answers", [tmp_path / "new.ply"])
    assert old.exists() and young[0].read_text() == "ply"
    os.utime(old, (0, 0))
    endpoint.keep(tmp_path / "answers", [])
    assert not old.exists() and young[0].exists()
