import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file
from torch import Tensor

from manyview.models import catalog
from manyview.models.camera_head import CameraHeadConfig
from manyview.models.catalog import CHECKPOINTS
from manyview.models.checkpoints import load_model, save_model
from manyview.models.dense_head import DenseHeadConfig
from manyview.models.dinov2 import EncoderConfig
from manyview.models.pi3 import Pi3, Pi3Config
from manyview.models.track_head import TrackHeadConfig
from manyview.models.vggt import VGGT, VGGTConfig

ENCODER = EncoderConfig(width=16, depth=1, heads=2, image_size=28)
VGGT_TINY = VGGTConfig(
    encoder=ENCODER,
    depth=4,
    heads=2,
    kept_layers=(0, 1, 2, 3),
    camera=CameraHeadConfig(trunk_depth=1, heads=2),
    dense=DenseHeadConfig(features=8, channels=(4, 4, 4, 4), hidden=4),
    track=TrackHeadConfig(features=8, channels=(4, 4, 4, 4), corr_levels=2, width=16, heads=2, depth=1),
)
PI3_TINY = Pi3Config(encoder=ENCODER, depth=2, heads=2, head_width=16, head_heads=2, head_depth=1, camera_width=8)


@pytest.fixture(autouse=True)
def nothing_on_this_computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYVIEW_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args, **options: None)


@pytest.fixture
def state() -> dict[str, Tensor]:
    """What a public VGGT file of that size would hold."""
    torch.manual_seed(0)
    state = dict(VGGT(VGGT_TINY).state_dict())
    state["aggregator.patch_embed.mask_token"] = torch.zeros(1, 16)
    return state


@pytest.fixture
def pi3_state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    state = dict(Pi3(PI3_TINY).state_dict())
    state["image_mean"] = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    state["image_std"] = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    return state


def put(state: dict[str, Tensor], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def assert_holds(model: torch.nn.Module, state: dict[str, Tensor]) -> None:
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name].to(tensor.dtype)), name


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt", "other.pth"])
@pytest.mark.parametrize("as_folder", [False, True])
def test_file_or_folder(tmp_path: Path, state: dict[str, Tensor], name: str, as_folder: bool) -> None:
    path = put(state, tmp_path / "weights" / name)
    loaded = load_model(path.parent if as_folder else path, config=VGGT_TINY)
    assert_holds(loaded.model, state)
    assert (loaded.family, loaded.path, loaded.checkpoint, loaded.name) == ("vggt", path, None, name)
    assert loaded.report.ignored == ("aggregator.patch_embed.mask_token",)
    assert loaded.report.missing == ()
    assert loaded.report.parameters == sum(tensor.numel() for tensor in state.values()) - 16
    assert not loaded.model.training
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in loaded.model.parameters())


def test_loading_does_not_load_the_compiler(root: Path) -> None:
    """Some functions of torch do that on the meta device, and it takes longer than the model."""
    code = (
        "import runpy, sys\n"
        "runpy.run_path('__main__.py', run_name='x')\n"
        "import torch\n"
        "from manyview.models.checkpoints import load_model\n"
        "from manyview.models.vggt import VGGT, VGGT_1B\n"
        "from manyview.models.pi3 import PI3, Pi3\n"
        "before = {'torch._dynamo', 'sympy'} & set(sys.modules)\n"
        "load_model('mini')\n"
        "with torch.device('meta'):\n"
        "    VGGT(VGGT_1B), Pi3(PI3)\n"
        "print(sorted(({'torch._dynamo', 'sympy'} & set(sys.modules)) - before))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_pi3(tmp_path: Path, pi3_state: dict[str, Tensor]) -> None:
    loaded = load_model(put(pi3_state, tmp_path / "pi3.safetensors"), config=PI3_TINY)
    assert_holds(loaded.model, pi3_state)
    assert loaded.family == "pi3"
    assert set(loaded.report.ignored) == {"image_mean", "image_std"}
    with torch.inference_mode():
        assert loaded.model(torch.rand(2, 3, 28, 28)).points.isfinite().all()


def test_pi3_for_other_normalisation_is_refused(pi3_state: dict[str, Tensor]) -> None:
    pi3_state["image_std"] = torch.full((1, 3, 1, 1), 0.5)
    with pytest.raises(ValueError, match=r"normalised with image_std \[0.5"):
        load_model(pi3_state, config=PI3_TINY)


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_types(tmp_path: Path, state: dict[str, Tensor], stored: torch.dtype, dtype: torch.dtype) -> None:
    path = put({name: tensor.to(stored) for name, tensor in state.items()}, tmp_path / "w.safetensors")
    loaded = load_model(path, config=VGGT_TINY, dtype=dtype)
    heads = ("camera_head.", "depth_head.", "point_head.", "track_head.")
    for name, tensor in loaded.model.state_dict().items():
        assert tensor.dtype == (torch.float32 if name.startswith(heads) else dtype), name
        assert torch.equal(tensor, state[name].to(stored).to(tensor.dtype)), name
    assert loaded.report.dtype == dtype
    assert loaded.report.precise == (() if dtype == torch.float32 else tuple(head.rstrip(".") for head in heads))
    with torch.inference_mode():
        found = loaded.model(torch.rand(2, 3, 28, 28), outputs=("camera", "depth"))
    assert found.depth.dtype == found.pose_passes.dtype == torch.float32


def test_float64_for_reference_runs(state: dict[str, Tensor], pi3_state: dict[str, Tensor]) -> None:
    for arrays, config in ((state, VGGT_TINY), (pi3_state, PI3_TINY)):
        model = load_model(arrays, config=config, dtype=torch.float64).model
        assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float64}
    with pytest.raises(ValueError, match=r"cannot be loaded as torch\.int8"):
        load_model(state, config=VGGT_TINY, dtype=torch.int8)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_pi3_in_16_bits_stays_close(pi3_state: dict[str, Tensor], dtype: torch.dtype) -> None:
    images = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        full = load_model(pi3_state, config=PI3_TINY).model(images)
        half = load_model(pi3_state, config=PI3_TINY, dtype=dtype).model(images)
    assert half.points.dtype == half.camera_to_world.dtype == torch.float32
    torch.testing.assert_close(half.local_points, full.local_points, atol=0.05, rtol=0.05)


def test_arrays_become_the_parameters_without_a_copy(state: dict[str, Tensor]) -> None:
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    for source in (arrays, iter(arrays.items())):
        model = load_model(source, config=VGGT_TINY).model
        assert all(np.shares_memory(value.numpy(), arrays[name]) for name, value in model.state_dict().items())


def test_missing_unexpected_and_misshaped(state: dict[str, Tensor]) -> None:
    del state["aggregator.frame_blocks.1.attn.proj.bias"]
    state["camera_head.surprise"] = torch.zeros(1)
    state["aggregator.camera_token"] = torch.zeros(1, 2, 1, 8)
    with pytest.raises(ValueError) as caught:
        load_model(state, config=VGGT_TINY)
    message = str(caught.value)
    assert "1 missing (aggregator.frame_blocks.1.attn.proj.bias)" in message
    assert "1 unexpected (camera_head.surprise)" in message
    assert "1 of another shape (aggregator.camera_token is (1, 2, 1, 8) instead of (1, 2, 1, 16))" in message
    assert "config=" in message


@pytest.mark.parametrize("name", ["aggregator.patch_embed.cls_token", "aggregator.patch_embed.register_tokens"])
def test_tokens_of_the_encoder_are_not_optional(state: dict[str, Tensor], name: str) -> None:
    del state[name]
    with pytest.raises(ValueError, match=rf"1 missing \({name}\)"):
        load_model(state, config=VGGT_TINY)


@pytest.mark.parametrize(
    ("head", "output"),
    [("track_head", "tracks"), ("point_head", "points"), ("depth_head", "depth"), ("camera_head", "camera")],
)
def test_absent_heads_are_left_out_and_reported(state: dict[str, Tensor], head: str, output: str) -> None:
    state = {name: tensor for name, tensor in state.items() if not name.startswith(head + ".")}
    loaded = load_model(state, config=VGGT_TINY)
    assert loaded.report.missing == (head,)
    assert f"left out: {head}" in str(loaded.report)
    assert getattr(loaded.model, head) is None
    with pytest.raises(ValueError, match=f"no head for '{output}'"):
        loaded.model(torch.rand(1, 3, 28, 28), outputs=(output,))


def test_heads_that_are_not_wanted_are_passed_over(state: dict[str, Tensor]) -> None:
    loaded = load_model(state, config=replace(VGGT_TINY, track=None, point_head=False))
    assert loaded.model.track_head is None and loaded.model.point_head is None
    assert loaded.report.missing == ()
    assert {name.partition(".")[0] for name in loaded.report.ignored} == {"aggregator", "track_head", "point_head"}


def test_half_a_head_is_an_error(state: dict[str, Tensor]) -> None:
    del state["track_head.tracker.fmap_norm.weight"]
    with pytest.raises(ValueError, match=r"1 missing \(track_head.tracker.fmap_norm.weight\)"):
        load_model(state, config=VGGT_TINY)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("metric_token", "encoder.cls_token"), "weights of Pi3X, which is not supported"),
        (("aggregator.inter_frame_blocks.0.norm1.weight",), "weights of VGGT-Omega, which is not supported"),
        (("text_model.embeddings",), "weights of none of VGGT, pi3, .*text_model.embeddings"),
        ((), "weights of none of VGGT, pi3, .*begin with nothing"),
    ],
)
def test_other_networks(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_model({name: torch.zeros(1) for name in names})


def test_configuration_of_the_other_family(state: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match="holds vggt weights; they do not go with a Pi3Config"):
        load_model(state, config=PI3_TINY)


@pytest.mark.parametrize("kind", ["vggt", "pi3"])
def test_saved_models_know_their_configuration(
    tmp_path: Path, kind: str, state: dict[str, Tensor], pi3_state: dict[str, Tensor]
) -> None:
    arrays, config = (state, replace(VGGT_TINY, track=None)) if kind == "vggt" else (pi3_state, PI3_TINY)
    model = load_model(arrays, config=config).model
    path = save_model(model, tmp_path / "saved.safetensors", {"licence": "Apache-2.0"})
    loaded = load_model(path)
    assert loaded.model.config == config
    assert loaded.report.missing == loaded.report.ignored == ()
    assert_holds(loaded.model, arrays)
    assert [entry.name for entry in tmp_path.iterdir()] == ["saved.safetensors"]


def test_saving_in_16_bits(tmp_path: Path, state: dict[str, Tensor]) -> None:
    model = load_model(state, config=VGGT_TINY).model
    saved = load_file(save_model(model, tmp_path / "half.safetensors", dtype=torch.bfloat16))
    assert saved["aggregator.camera_token"].dtype == torch.bfloat16
    assert saved["camera_head.token_norm.weight"].dtype == torch.float32


def test_interrupted_saving_leaves_the_old_file(
    tmp_path: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "saved.safetensors"
    path.write_bytes(b"old")

    def interrupted(state: object, name: Path, metadata: object) -> None:
        Path(name).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_model(load_model(state, config=VGGT_TINY).model, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["saved.safetensors"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("config", ["not json", json.dumps({"depth": 4, "from_the_future": 1})])
def test_unknown_configuration(tmp_path: Path, state: dict[str, Tensor], config: str) -> None:
    save_file(state, tmp_path / "w.safetensors", metadata={"manyview.config": config})
    with pytest.raises(ValueError, match=r"w\.safetensors carries a configuration that this version cannot use"):
        load_model(tmp_path / "w.safetensors")


def test_corrupt_file(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = put(state, tmp_path / "w.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is not a readable safetensors file"):
        load_model(path, config=VGGT_TINY)


def test_by_name(tmp_path: Path, pi3_state: dict[str, Tensor], caplog: pytest.LogCaptureFixture) -> None:
    path = put(pi3_state, tmp_path / "models" / "pi3" / "model.safetensors")
    loaded = load_model("pi3", config=PI3_TINY)
    assert (loaded.path, loaded.checkpoint, loaded.name) == (path, CHECKPOINTS["pi3"], "pi3")
    assert "NON-COMMERCIAL" in caplog.text


def test_missing_file_names_address_file_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    with pytest.raises(FileNotFoundError) as caught:
        load_model("vggt-1b")
    message = str(caught.value)
    assert "no download was asked for (--download" in message
    assert (
        f"https://huggingface.co/facebook/VGGT-1B/resolve/{CHECKPOINTS['vggt-1b'].revision}/model.safetensors"
        in message
    )
    assert f"folder {tmp_path / 'models' / 'vggt-1b'}" in message
    with pytest.raises(FileNotFoundError, match=r"no file or folder vggt-2b; give .*vggt-1b"):
        load_model("vggt-2b")


def test_downloads_only_when_asked(
    tmp_path: Path, pi3_state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fake(repo: str, filename: str, *, revision: str | None, local_dir: Path) -> str:
        asked.append(repo)
        return str(put(pi3_state, local_dir / filename))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake)
    monkeypatch.setitem(catalog.CHECKPOINTS, "pi3", replace(CHECKPOINTS["pi3"], sha256=None))
    with pytest.raises(FileNotFoundError):
        load_model("pi3", folder=tmp_path / "here")
    assert asked == []
    for _ in range(2):  # the second time it is there
        load_model("pi3", folder=tmp_path / "here", download=True, config=PI3_TINY)
    assert asked == ["yyfz233/Pi3"]


def test_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(*args: object, **options: object) -> str:
        raise errors.LocalEntryNotFoundError("Outgoing traffic has been disabled.")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake)
    with pytest.raises(OSError, match=r"Outgoing traffic has been disabled\. To get .* download https://"):
        load_model("pi3", download=True)


def test_progress(state: dict[str, Tensor]) -> None:
    calls = []
    load_model(state, config=VGGT_TINY, progress=lambda *call: calls.append(call))
    total = len(state) - 1
    assert calls == [("load", done, total) for done in range(total)]


def configured(state: dict[str, Tensor], path: Path, **changes: object) -> Path:
    config = json.loads(json.dumps(asdict(VGGT_TINY)))
    for name, value in changes.items():
        outer, _, inner = name.rpartition("__")
        (config[outer] if outer else config)[inner] = value
    save_file(state, path, metadata={"manyview.config": json.dumps(config)})
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"depth": 10**9}, "depth must be a whole number from 1 to 512, got 1000000000"),
        ({"depth": 12}, "4 of 12 blocks aggregator.frame_blocks"),
        ({"encoder__depth": 300}, "1 of 300 blocks aggregator.patch_embed.blocks"),
        ({"camera__passes": 10**9}, "passes must be a whole number from 1 to 64"),
        ({"camera__passes": True}, "passes must be a whole number"),
        ({"encoder__patch_size": 0}, "patch_size must be"),
        ({"encoder__patch_size": "14"}, "got '14'"),
        ({"encoder__width": 10**30}, "got a number of more than 18 digits"),
        ({"encoder__width": 17}, "does not split into 2 heads"),
        ({"heads": 8}, "Heads must be a multiple of 4 wide"),
        ({"mlp_ratio": -1}, "mlp_ratio must be a number"),
        ({"kept_layers": [0, 1, 2, 4]}, "kept_layers must be four layers below depth 4"),
        ({"kept_layers": [0, 1, 2]}, "kept_layers must be 4 numbers"),
        ({"encoder": None}, "encoder must be a EncoderConfig, got None"),
        ({"point_head": 1}, "point_head must be true or false"),
        ({"dense__features": 9}, "features must be a multiple of 8"),
    ],
)
def test_sizes_in_a_header_are_checked_before_anything_is_built(
    tmp_path: Path, state: dict[str, Tensor], change: dict, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = configured(state, tmp_path / "w.safetensors", **change)
    monkeypatch.setattr(VGGT, "__init__", lambda *args: pytest.fail("something was built"))
    with pytest.raises(ValueError, match=r"cannot use|does not fit") as caught:
        load_model(path)
    assert words in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_numbers_that_are_not_finite_are_found(state: dict[str, Tensor], value: float, dtype: torch.dtype) -> None:
    state["aggregator.frame_blocks.2.mlp.fc1.weight"].view(-1)[77] = value
    with pytest.raises(ValueError, match=r"not finite in aggregator\.frame_blocks\.2\.mlp\.fc1\.weight; get an undam"):
        load_model(state, config=VGGT_TINY, dtype=dtype)


def test_weights_that_float16_cannot_hold(state: dict[str, Tensor]) -> None:
    state["aggregator.frame_blocks.2.mlp.fc1.weight"][0, 0] = 1e5
    load_model(state, config=VGGT_TINY, dtype=torch.bfloat16)
    with pytest.raises(ValueError, match=r"use bfloat16 or float32"):
        load_model(state, config=VGGT_TINY, dtype=torch.float16)


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.complex64, torch.float8_e4m3fn])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_weights_are_plain_floating_point(
    tmp_path: Path, state: dict[str, Tensor], dtype: torch.dtype, name: str
) -> None:
    state["aggregator.camera_token"] = state["aggregator.camera_token"].to(dtype)
    with pytest.raises(ValueError, match=r"1 without plain floating-point numbers \(aggregator\.camera_token holds"):
        load_model(put(state, tmp_path / name), config=VGGT_TINY)


def test_models_have_a_short_name_in_an_interpreter(state: dict[str, Tensor]) -> None:
    loaded = load_model(state, config=VGGT_TINY)
    assert (
        repr(loaded)
        == f"LoadedModel('vggt', vggt, {loaded.report.parameters / 1e6:.1f} million parameters, float32 on cpu)"
    )
