import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from manyview.models.weights import listed, open_weights, weights_from_arrays

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}


class Malicious:
    def __reduce__(self):
        return print, ("this must not run",)


def write(path: Path, content: object = STATE, **options: object) -> Path:
    if path.suffix == ".safetensors":
        save_file(content, path, metadata={"note": "hello"})
    else:
        torch.save(content, path, **options)
    return path


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth", "w.bin"])
def test_reads(tmp_path: Path, name: str) -> None:
    weights = open_weights(write(tmp_path / name))
    assert weights.shapes == {"a.weight": (2, 3), "b": (4,)}
    assert torch.equal(weights.take("a.weight"), STATE["a.weight"])
    assert weights.take("b").dtype == torch.bfloat16
    assert weights.metadata == ({"note": "hello"} if name.endswith("safetensors") else {})


@pytest.mark.parametrize("wrapper", ["model", "state_dict"])
def test_reads_training_checkpoints(tmp_path: Path, wrapper: str) -> None:
    path = write(tmp_path / "w.pt", {wrapper: STATE, "step": 3})
    assert set(open_weights(path).shapes) == set(STATE)


def test_reads_files_from_before_zip(tmp_path: Path) -> None:
    path = write(tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(open_weights(path).take("a.weight"), STATE["a.weight"])


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod."])
def test_removes_the_prefix_of_wrappers(tmp_path: Path, prefix: str) -> None:
    path = write(tmp_path / "w.safetensors", {prefix + name: tensor for name, tensor in STATE.items()})
    weights = open_weights(path)
    assert set(weights.shapes) == set(STATE)
    assert torch.equal(weights.take("a.weight"), STATE["a.weight"])


@pytest.mark.parametrize("zipped", [True, False])
def test_refuses_code(tmp_path: Path, zipped: bool, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "w.pt", {"a": Malicious()}, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"w\.pt (holds Python objects|is not a readable PyTorch file)"):
        open_weights(path)
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_refuses_a_plain_pickle(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(pickle.dumps({"a": Malicious()}))
    with pytest.raises(ValueError, match="is not a readable PyTorch file"):
        open_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("content", [[1, 2], {"a": 3}, {"a": STATE["b"], "step": 1}])
def test_refuses_other_content(tmp_path: Path, content: object) -> None:
    with pytest.raises(ValueError, match="does not hold a plain state_dict"):
        open_weights(write(tmp_path / "w.pt", content))


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_truncated(tmp_path: Path, name: str, kept: float) -> None:
    path = write(tmp_path / name, {"a": torch.zeros(1000)})
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=rf"{name} is not a readable"):
        open_weights(path)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "is a web page"),
        (b"\n<html><head>", "is a web page"),
        (b"these are not weights at all, whatever the name says", "is not a readable"),
    ],
)
def test_not_weights(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        open_weights(tmp_path / name)


def test_arrays_are_shared_and_let_go() -> None:
    array = np.ones(3, dtype=np.float32)
    weights = weights_from_arrays(iter([("a", array)]))
    assert np.shares_memory(weights.take("a").numpy(), array)
    with pytest.raises(KeyError):
        weights.take("a")


def test_read_only_arrays_are_copied() -> None:
    array = np.ones(3, dtype=np.float32)
    array.flags.writeable = False
    assert not np.shares_memory(weights_from_arrays({"a": array}).take("a").numpy(), array)


def test_listed() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(i) for i in range(8)]) == "0, 1, 2, 3, 4, and 3 more"


def test_names_are_texts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not hold a plain state_dict"):
        open_weights(write(tmp_path / "w.pt", {0: torch.zeros(1)}))
    with pytest.raises(ValueError, match="0 is no name of an array"):
        weights_from_arrays({0: torch.zeros(1)})


def test_tensors_that_are_larger_than_their_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="its tensors would fill 4,000,000,000,000"):
        open_weights(write(tmp_path / "w.pt", {"a": torch.zeros(1).expand(10**12)}))


@pytest.mark.parametrize(
    ("how", "words"), [("deflated", "torch.save compresses nothing"), ("long", "names and shapes")]
)
def test_archives_that_would_unpack_to_more(tmp_path: Path, how: str, words: str) -> None:
    path = tmp_path / "w.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if how == "deflated" else zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", bytes(17 << 20) if how == "long" else b"x")
        archive.writestr("archive/data/0", bytes(1 << 20))
    with pytest.raises(ValueError, match=words):
        open_weights(path)


def test_long_headers_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with path.open("wb") as file:
        file.write((40 << 20).to_bytes(8, "little"))
        file.truncate(60 << 20)
    with pytest.raises(ValueError, match="a header of 41,943,040 bytes"):
        open_weights(path)
