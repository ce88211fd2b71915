"""What the loading nodes do, in a host that is a plain folder."""

import json
from pathlib import Path

import pytest
from PIL import Image

from manyview.models.sparse import PRESETS
from manyview.nodes.graph import loading
from manyview.nodes.graph.host import FolderHost


def test_images_of_a_folder(host: FolderHost, photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    photos.rename(host.input_folder / "photos")
    (host.input_folder / "photos" / "broken.jpg").write_bytes(b"no picture")
    result = loading.run_load_images(host, source="photos", resolution=56)
    views, images, masks, names = result.outputs
    assert images.shape == (3, 42, 56, 3) and views["images"].shape == images.shape
    assert masks.shape == (3, 42, 56) and masks[:2].min() == 1 and masks[2].min() == 0  # the upright one has borders
    assert names.splitlines() == ["photo_0.jpg", "photo_1.jpg", "photo_2.jpg"]
    assert "broken.jpg" in result.ui["text"][0] and "broken.jpg" in caplog.text


def test_masks_of_a_folder(host: FolderHost, photos: Path) -> None:
    photos.rename(host.input_folder / "photos")
    (host.input_folder / "cut").mkdir()
    (host.input_folder / "clip.mp4").touch()
    assert loading.mask_folders(host) == ["none", "cut", "photos"]
    before = loading.fingerprint_images(host, source="photos", masks="cut")
    mask = Image.new("L", (80, 60))
    mask.paste(255, (0, 0, 40, 60))
    mask.save(host.input_folder / "cut" / "photo_0.png")
    assert loading.fingerprint_images(host, source="photos", masks="cut") != before
    use = loading.run_load_images(host, source="photos", resolution=112, masks="cut").outputs[2]
    assert use[0, :, :50].min() == 1 and use[0, :, 60:].max() == 0 and use[1].min() == 1
    for nothing in (None, "none"):
        assert loading.run_load_images(host, source="photos", resolution=112, masks=nothing).outputs[2][0].min() == 1
    with pytest.raises(ValueError, match="leads out"):
        loading.run_load_images(host, source="photos", masks="../elsewhere")


def test_sample_of_the_pack(host: FolderHost) -> None:
    assert loading.image_sources(host) == list(loading.SAMPLES)
    for source in loading.SAMPLES:
        result = loading.run_load_images(host, source=source, limit=2, resolution=56)
        assert len(result.outputs[0]["names"]) == 2 and result.ui["text"] == ["2 views"]


def test_missing_and_empty_folders_say_so(host: FolderHost) -> None:
    with pytest.raises(FileNotFoundError, match="'gone' is not in the input folder any more"):
        loading.run_load_images(host, source="gone")
    (host.input_folder / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no images"):
        loading.run_load_images(host, source="empty")


def test_fingerprint_follows_the_files(host: FolderHost, photos: Path) -> None:
    folder = photos.rename(host.input_folder / "photos")
    prints = [loading.fingerprint_images(host, source="photos", limit=2)]
    Image.new("RGB", (80, 60)).save(folder / "photo_9.png")
    prints.append(loading.fingerprint_images(host, source="photos"))
    (folder / "photo_9.png").write_bytes(b"12")
    prints.append(loading.fingerprint_images(host, source="photos"))
    (folder / "photo_9.png").unlink()
    prints.append(loading.fingerprint_images(host, source="photos"))
    assert prints[0] == prints[3] and len(set(prints)) == 3
    (host.input_folder / "clip.mp4").write_bytes(b"1")
    assert "clip.mp4" in loading.fingerprint_images(host, source="clip.mp4")


def test_model_of_a_file(host: FolderHost, tiny_model: Path) -> None:
    target = host.model_folder / "tiny.safetensors"
    target.write_bytes(tiny_model.read_bytes())
    (host.model_folder / "notes.txt").touch()
    assert loading.model_names(host)[-1] == "tiny.safetensors"
    result = loading.run_load_model(host, model="tiny.safetensors", precision="auto")
    assert result.outputs[0]["loaded"].family == "vggt"
    assert "its licence is its owner's" in result.ui["text"][0] and "parameters" in result.ui["text"][0]
    before = loading.fingerprint_model(host, model="tiny.safetensors")
    target.write_bytes(target.read_bytes() + b"1")
    assert loading.fingerprint_model(host, model="tiny.safetensors") != before
    assert loading.fingerprint_model(host, model="mini") == "mini"


def test_known_weights_are_known_by_their_file_as_well() -> None:
    for name in ("pi3", "pi3.safetensors", "pi3/model.safetensors"):
        assert loading.known_checkpoint(name).name == "pi3"
    assert loading.known_checkpoint("mine/model.safetensors") is None


def test_missing_weights_name_address_and_folder(host: FolderHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYVIEW_MODELS", str(host.base))
    monkeypatch.setenv("HF_HOME", str(host.base))
    with pytest.raises(FileNotFoundError, match="To get them by hand") as caught:
        loading.run_load_model(host, model="pi3", precision="auto")
    assert str(host.model_folder) in str(caught.value) and "huggingface" in str(caught.value)


def test_sparsity_of_a_preset_and_by_hand(host: FolderHost) -> None:
    (found,) = loading.run_sparsity(host, method={"method": "fast", "min_tokens": 0}).outputs
    assert found == PRESETS["fast"].to_dict()
    method = {"method": "custom", "rho": 0.25, "tau": 0, "dense_layers": "", "min_tokens": 7}
    (found,) = loading.run_sparsity(host, method=method).outputs
    assert (found["rho"], found["tau"], found["min_tokens"]) == (0.25, None, 7)


def test_sparsity_of_a_schedule(host: FolderHost) -> None:
    assert loading.schedule_names(host) == [loading.NO_SCHEDULE]
    with pytest.raises(ValueError, match="There is no schedule"):
        loading.run_sparsity(host, method={"method": "file", "schedule": loading.NO_SCHEDULE})
    plan = host.model_folder / "plan.json"
    plan.write_text(json.dumps({"sparsity": PRESETS["balanced"].to_dict()}))
    assert loading.schedule_names(host) == ["plan.json"]
    method = {"method": "file", "schedule": "plan.json"}
    assert loading.run_sparsity(host, method=method).outputs == (PRESETS["balanced"].to_dict(),)
    before = loading.fingerprint_sparsity(host, method=method)
    plan.write_text(plan.read_text() + " ")
    assert loading.fingerprint_sparsity(host, method=method) != before
    assert loading.fingerprint_sparsity(host, method={"method": "dense"}) == ""
