"""The core nodes give what ComfyUI's own give."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from manyview.nodes.graph.host import FolderHost, Result
from manyview.workflows.core.definitions import core_definitions
from manyview.workflows.core.loading import Video
from manyview.workflows.core.table import CORE_NODES
from manyview.workflows.problem import Cancelled


@pytest.fixture
def host(tmp_path: Path) -> FolderHost:
    host = FolderHost(tmp_path, torch.device("cpu"), metadata={"prompt": {"1": 2}})
    colours = np.zeros((4, 6, 4), np.uint8)
    colours[..., 0], colours[..., 1], colours[..., 3] = 255, 51, 255
    colours[:2, ..., 3] = 0
    Image.fromarray(colours).save(host.input_folder / "clear.png")
    Image.fromarray(colours[..., :3]).save(host.input_folder / "solid.png")
    (host.input_folder / "set").mkdir()
    for number, size in enumerate([(6, 4), (8, 4)]):
        Image.new("RGB", size, (255, 0, 0)).save(host.input_folder / "set" / f"{number}.png")
    Image.new("RGB", (2, 2)).save(host.output_folder / "made.png")
    (host.base / "secret.png").write_bytes((host.input_folder / "solid.png").read_bytes())
    return host


def run(name: str, host: FolderHost, **inputs: Any) -> Result:
    return CORE_NODES[name].run(host, **inputs)


def test_definitions_say_what_comfyui_says(shared: Path) -> None:
    theirs = json.loads((shared / "comfyui_object_info.json").read_text(encoding="utf-8"))
    ours = core_definitions()
    common = set(theirs) & set(ours)
    assert len(common) >= 14
    for name in common:
        one, other = ours[name], theirs[name]
        for part in ("required", "optional"):
            assert list(one["input"].get(part, {})) == list(other["input"].get(part, {})), name
            for key, (kind, *_) in one["input"].get(part, {}).items():
                their_kind = other["input"][part][key][0]
                assert kind == ("COMBO" if isinstance(their_kind, list) else their_kind), (name, key)
        for key in ("output", "output_name", "output_is_list", "output_node"):
            assert list(one[key]) == list(other[key]) if key != "output_node" else one[key] == other[key], (name, key)


def test_load_image(host: FolderHost) -> None:
    image, mask = run("LoadImage", host, image="clear.png").outputs
    assert image.shape == (1, 4, 6, 3) and torch.allclose(image[0, 0, 0], torch.tensor([1.0, 0.2, 0.0]))
    assert mask.shape == (1, 4, 6) and mask[0, :2].min() == 1 and mask[0, 2:].max() == 0, "1 is transparent"
    _, none = run("LoadImage", host, image="solid.png").outputs
    assert none.shape == (1, 64, 64) and not none.any(), "ComfyUI's sign for no mask"
    made, _ = run("LoadImage", host, image="made.png [output]").outputs
    assert made.shape == (1, 2, 2, 3)


def test_load_mask(host: FolderHost) -> None:
    for channel, value in (("red", 1.0), ("green", 0.2), ("blue", 0.0)):
        assert run("LoadImageMask", host, image="clear.png", channel=channel).outputs[0].unique().tolist() == (
            pytest.approx([value])
        )
    (mask,) = run("LoadImageMask", host, image="clear.png", channel="alpha").outputs
    assert mask[0, 0, 0] == 1 and mask[0, 3, 0] == 0
    assert run("LoadImageMask", host, image="solid.png", channel="alpha").outputs[0].shape == (1, 64, 64)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname", "secret.png [temp]", "set", "gone.png", "a\0b", ""])
def test_only_files_of_the_folders_are_read(host: FolderHost, name: str) -> None:
    for node, inputs in (("LoadImage", {"image": name}), ("LoadVideo", {"file": name})):
        with pytest.raises((ValueError, FileNotFoundError)):
            run(node, host, **inputs)
        with pytest.raises((ValueError, FileNotFoundError)):
            CORE_NODES[node].fingerprint(host, **inputs)


def test_load_folder(host: FolderHost) -> None:
    (images,) = run("LoadImageDataSetFromFolder", host, folder="set").outputs
    assert [tuple(each.shape) for each in images] == [(1, 4, 6, 3), (1, 4, 8, 3)]
    before = CORE_NODES["LoadImageDataSetFromFolder"].fingerprint(host, folder="set")
    (host.input_folder / "set" / "note.txt").touch()
    assert CORE_NODES["LoadImageDataSetFromFolder"].fingerprint(host, folder="set") == before
    (host.input_folder / "set" / "0.png").unlink()
    assert CORE_NODES["LoadImageDataSetFromFolder"].fingerprint(host, folder="set") != before


def test_videos(host: FolderHost, root: Path) -> None:
    (host.input_folder / "walk.mp4").write_bytes((root / "sample" / "walk.mp4").read_bytes())
    (video,) = run("LoadVideo", host, file="walk.mp4").outputs
    images, audio, rate, bits, _ = run("GetVideoComponents", host, video=video).outputs
    assert images.shape == (36, 360, 480, 3) and 0 <= images.min() < images.max() <= 1
    assert audio is None and rate == pytest.approx(12) and bits == 8
    with pytest.raises(ValueError, match=r"solid\.png is no video"):
        run("LoadVideo", host, file="solid.png")


def test_videos_that_do_not_fit(host: FolderHost, root: Path) -> None:
    host.most_image_bytes = 10_000_000
    video = Video(root / "sample" / "walk.mp4", host)
    with pytest.raises(ValueError, match="take fewer frames, use Load Images"):
        video.get_components()


def test_a_video_can_be_cancelled(host: FolderHost, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> None:
        raise Cancelled

    monkeypatch.setattr(host, "check_cancelled", stop)
    with pytest.raises(Cancelled):
        Video(root / "sample" / "walk.mp4", host).get_components()


def test_batches_take_the_size_of_the_first(host: FolderHost) -> None:
    wide = torch.zeros(1, 10, 30, 3)
    wide[:, :, 10:20] = 1  # the middle stays, the sides are cut off
    (both,) = run("ImageBatch", host, image1=torch.zeros(2, 20, 20, 3), image2=wide).outputs
    assert both.shape == (3, 20, 20, 3) and both[2].min() == 1
    tall = wide.transpose(1, 2)
    (three,) = run("BatchImagesNode", host, images={"image0": torch.zeros(1, 5, 5, 3), "image1": tall}).outputs
    assert three.shape == (2, 5, 5, 3) and three[1].min() == 1
    same = torch.rand(1, 5, 5, 3)
    assert torch.equal(run("ImageBatch", host, image1=same, image2=same).outputs[0], torch.cat([same, same]))


def test_batches_that_do_not_fit(host: FolderHost) -> None:
    host.most_image_bytes = 1000
    with pytest.raises(ValueError, match="use fewer or smaller ones"):
        run("ImageBatch", host, image1=torch.zeros(1, 10, 10, 3), image2=torch.zeros(1, 1, 1, 3))


def test_masks_and_images(host: FolderHost) -> None:
    image = torch.rand(2, 3, 4, 3)
    assert torch.equal(run("ImageToMask", host, image=image, channel="green").outputs[0], image[..., 1])
    assert run("ImageToMask", host, image=image, channel="alpha").outputs[0].min() == 1
    mask = torch.rand(3, 4)
    (grey,) = run("MaskToImage", host, mask=mask).outputs
    assert grey.shape == (1, 3, 4, 3) and torch.equal(grey[0, ..., 2], mask)
    assert torch.equal(run("InvertMask", host, mask=mask).outputs[0], 1 - mask)


def test_pictures_are_shown_and_saved(host: FolderHost) -> None:
    images = torch.rand(2, 8, 8, 3)
    shown = run("PreviewImage", host, images=images)
    saved = run("SaveImage", host, images=images, filename_prefix="mine/x")
    assert [each["type"] for each in shown.ui["images"]] == ["temp", "temp"]
    assert [each["filename"] for each in saved.ui["images"]] == ["x_00001_.png", "x_00002_.png"]
    with Image.open(host.output_folder / "mine" / "x_00001_.png") as picture:
        assert json.loads(picture.info["prompt"]) == {"1": 2}
        assert np.array_equal(np.asarray(picture), (images[0] * 255).round().byte().numpy())
    with pytest.raises(ValueError, match="leads out"):
        run("SaveImage", host, images=images, filename_prefix="../x")


def test_clouds_are_shown_and_saved(host: FolderHost) -> None:
    ply = host.temp_folder / "a.ply"
    ply.write_bytes(b"ply")
    shown = run("PreviewPointCloud", host, model_3d=ply, viewport_state="", width=10, height=20)
    assert shown.ui["3d"][0]["type"] == "temp" and shown.outputs[0] == ply and shown.outputs[3:] == (10, 20)
    camera = {"fov": 35}
    saved = run("SavePointCloud", host, model_3d=ply, filename_prefix="3d/a", width=1, height=1, camera_info=camera)
    assert saved.ui["3d"] == [{"filename": "a_00001_.ply", "subfolder": "3d", "type": "output"}]
    assert saved.outputs[0].read_bytes() == b"ply" and saved.outputs[2] == camera


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x\ny", "x\ny"),
        (3, "3"),
        ({"a": [1]}, '{\n "a": [\n  1\n ]\n}'),
        ({"a": torch.zeros(2, 3)}, '{\n "a": "Tensor (2, 3)"\n}'),
        (torch.zeros(2, 3), "Tensor (2, 3)"),
        (np.zeros(4), "ndarray (4,)"),
        (None, "None"),
    ],
)
def test_anything_as_text(host: FolderHost, value: Any, text: str) -> None:
    assert run("PreviewAny", host, source=value).outputs == (text,)


def test_primitives(host: FolderHost) -> None:
    assert run("PrimitiveInt", host, value=3).outputs == (3,)
