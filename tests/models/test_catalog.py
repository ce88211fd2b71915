import hashlib
import json
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import errors

from manyview.models import catalog
from manyview.models.catalog import CHECKPOINTS, checkpoint_file, default_folder, find_checkpoint
from manyview.models.download import download_checkpoint
from manyview.models.families import family_named

PI3 = CHECKPOINTS["pi3"]
CONTENT = b"weights" * 100


@pytest.fixture(autouse=True)
def nothing_on_this_computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYVIEW_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args, **options: None)


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONTENT)
    return path


def test_table() -> None:
    assert {"mini", "vggt-1b", "vggt-1b-commercial", "pi3"} <= set(CHECKPOINTS)
    for name, checkpoint in CHECKPOINTS.items():
        assert checkpoint.name == name
        assert family_named(checkpoint.family).name == checkpoint.family
        assert checkpoint.use in checkpoint.notice.lower() and checkpoint.good_for
        assert checkpoint.download_bytes >= 2 * checkpoint.parameters
        assert ("NON-COMMERCIAL" in checkpoint.notice) == (not checkpoint.commercial_use)
        if checkpoint.sha256 is not None:
            assert len(checkpoint.sha256) == 64
            # a hash only makes sense for one version: a commit of the repository, or the file in this one
            assert checkpoint.repo is None or len(checkpoint.revision) == 40
    assert not CHECKPOINTS["vggt-1b"].commercial_use
    assert not PI3.commercial_use
    assert CHECKPOINTS["vggt-1b-commercial"].gated


@pytest.mark.parametrize(("name", "size"), [("da3-small", "small"), ("da3-base", "base"), ("da3-large", "large")])
def test_parameters_agree_with_the_manifests(shared: Path, name: str, size: str) -> None:
    facts = json.loads((shared / "manifests" / f"manifest_da3_{size}.json").read_text(encoding="utf-8"))
    assert CHECKPOINTS[name].parameters == facts["parameters"]


@pytest.mark.parametrize(("name", "manifest"), [("vggt-1b", "vggt_1b"), ("pi3", "pi3")])
def test_sizes_agree_with_the_manifests(shared: Path, name: str, manifest: str) -> None:
    facts = json.loads((shared / "manifests" / f"manifest_{manifest}.json").read_text(encoding="utf-8"))
    checkpoint = CHECKPOINTS[name]
    assert checkpoint.parameters == facts["parameters"]
    assert 0 < checkpoint.size_bytes - facts["bytes_float32"] < 500_000  # the header of the file


def test_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_folder() == tmp_path / "models"
    monkeypatch.delenv("MANYVIEW_MODELS")
    assert default_folder() == Path.home() / ".cache" / "manyview" / "models"


def test_finds_hand_placed_files(tmp_path: Path) -> None:
    assert find_checkpoint(PI3) is None
    by_name = put(default_folder() / "pi3.safetensors")
    assert find_checkpoint(PI3) == by_name
    in_folder = put(default_folder() / "pi3" / "model.safetensors")
    assert find_checkpoint(PI3) == in_folder
    given = put(tmp_path / "given" / "pi3" / "model.safetensors")
    assert find_checkpoint(PI3, tmp_path / "given") == given


def test_finds_files_in_the_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = put(tmp_path / "cache" / "model.safetensors")
    asked = []

    def lookup(repo: str, filename: str, revision: str | None) -> str | None:
        asked.append((repo, filename, revision))
        return str(cached) if revision == "main" else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lookup)
    assert find_checkpoint(PI3) == cached
    assert asked[0] == ("yyfz233/Pi3", "model.safetensors", PI3.revision)


def test_bundled_file_lies_in_the_package(root: Path) -> None:
    mini = CHECKPOINTS["mini"]
    assert mini.repo is None and mini.url is None
    assert find_checkpoint(mini) in (None, root / "models" / "mini" / "mini.safetensors")
    with pytest.raises(OSError, match="come with this package; clone or install it again"):
        download_checkpoint(mini)


def test_checkpoint_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*nowhere; give .*mini, vggt-1b"):
        checkpoint_file(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no weights"):
        checkpoint_file(tmp_path / "empty")
    only = put(tmp_path / "one" / "vggt.pt")
    assert checkpoint_file(tmp_path / "one") == checkpoint_file(only) == only
    put(tmp_path / "one" / "vggt.pth")
    with pytest.raises(ValueError, match=r"several files of weights \(vggt.pt, vggt.pth\)"):
        checkpoint_file(tmp_path / "one")
    model = put(tmp_path / "one" / "model.safetensors")
    assert checkpoint_file(str(tmp_path / "one")) == model


def test_download_reports_progress_and_checks_the_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fake(repo: str, filename: str, *, revision: str | None, tqdm_class: type, local_dir: Path) -> str:
        assert (repo, filename, revision) == (PI3.repo, PI3.filename, PI3.revision)
        with tqdm_class(total=len(CONTENT), initial=0, unit="B", desc=filename, name="huggingface_hub.get") as bar:
            bar.update(100)
            bar.update(len(CONTENT) - 100)
        return str(put(local_dir / filename))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake)
    calls = []
    checkpoint = replace(PI3, sha256=hashlib.sha256(CONTENT).hexdigest())
    path = download_checkpoint(checkpoint, tmp_path / "here", lambda *call: calls.append(call))
    assert path == find_checkpoint(checkpoint, tmp_path / "here")
    total = len(CONTENT)
    assert calls == [("download pi3", 100, total), ("download pi3", total, total), ("check pi3", total, total)]
    assert "NON-COMMERCIAL" in caplog.text

    with pytest.raises(OSError, match="is not the file that was published"):
        download_checkpoint(PI3, tmp_path / "here", lambda *call: None)


def test_download_into_the_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(repo: str, filename: str, *, revision: str | None) -> str:  # no local_dir, no bar of ours
        return str(put(tmp_path / "hub" / filename))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake)
    assert download_checkpoint(replace(PI3, sha256=None)) == tmp_path / "hub" / "model.safetensors"


def test_cancelling_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(repo: str, filename: str, *, revision: str | None, tqdm_class: type) -> str:
        tqdm_class(total=1).update(1)
        raise AssertionError("not cancelled")

    def cancel(stage: str, done: int, total: int) -> None:
        raise RuntimeError("cancelled by the user")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake)
    with pytest.raises(RuntimeError, match="cancelled by the user"):
        download_checkpoint(PI3, progress=cancel)


def refuse(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fake(*args: object, **options: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake)


@pytest.mark.parametrize(
    "error",
    [
        errors.LocalEntryNotFoundError("An error happened while trying to locate the file on the Hub.\nMore lines."),
        errors.OfflineModeIsEnabled("Cannot reach the hub: offline mode is enabled."),
        ConnectionError("Name or service not known"),
        OSError(28, "No space left on device"),
    ],
)
def test_failed_download_says_how_to_get_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    refuse(monkeypatch, error)
    with pytest.raises(OSError) as caught:
        download_checkpoint(PI3)
    message = str(caught.value)
    assert "download failed" in message and str(error).splitlines()[0].rstrip(".") in message
    assert f"https://huggingface.co/yyfz233/Pi3/resolve/{PI3.revision}/model.safetensors (3.83 GB)" in message
    assert "named model.safetensors" in message
    assert str(tmp_path / "models" / "pi3") in message
    assert "NON-COMMERCIAL" in message


def test_gated_weights_say_what_to_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    error = errors.GatedRepoError.__new__(errors.GatedRepoError)  # its constructor wants a response of the server
    refuse(monkeypatch, error)
    with pytest.raises(
        OSError, match=r"accept the licence at https://huggingface\.co/facebook/VGGT-1B-Commercial first"
    ):
        download_checkpoint(CHECKPOINTS["vggt-1b-commercial"])


def test_endpoint_of_a_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    message = catalog.missing_message(PI3, "/weights", "they are not here")
    assert "download https://mirror.example/yyfz233/Pi3/resolve/" in message
    assert str(Path("/weights") / "pi3") in message


def test_without_huggingface_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    assert find_checkpoint(PI3) is None
    with pytest.raises(ImportError, match=r"pip install huggingface_hub$"):
        download_checkpoint(PI3)
