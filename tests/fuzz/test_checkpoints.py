"""Files of weights of any content: they load and run, or end in one sentence, and cost no more than their size.

`--fuzz-cases 1200` is the long run; each number is one file, always the same.
"""

import functools
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from manyview.models.camera_head import CameraHeadConfig
from manyview.models.checkpoints import load_model
from manyview.models.da3 import DepthAnything3, DepthAnything3Config
from manyview.models.dense_head import DenseHeadConfig
from manyview.models.dinov2 import EncoderConfig
from manyview.models.pi3 import Pi3, Pi3Config
from manyview.models.vggt import VGGT, VGGTConfig

ENCODER = EncoderConfig(width=16, depth=1, heads=2, image_size=28)
CONFIGS = {
    "vggt": VGGTConfig(
        encoder=ENCODER,
        depth=4,
        heads=2,
        kept_layers=(0, 1, 2, 3),
        camera=CameraHeadConfig(trunk_depth=1, heads=2),
        dense=DenseHeadConfig(features=8, channels=(4, 4, 4, 4), hidden=4),
        point_head=False,
        track=None,
    ),
    "pi3": Pi3Config(encoder=ENCODER, depth=2, heads=2, head_width=16, head_heads=2, head_depth=1, camera_width=8),
}
CONFIGS["da3"] = DepthAnything3Config(
    width=64,
    depth=6,
    heads=4,
    alternate_from=2,
    kept_layers=(2, 3, 4, 5),
    dense=DenseHeadConfig(features=8, channels=(8, 8, 8, 8)),
    image_size=28,
    trained_size=28,
)
MODELS = {"vggt": VGGT, "pi3": Pi3, "da3": DepthAnything3}
VALUES: tuple[Any, ...] = (
    *(0, -1, 1, 2, 3, 5, 7, 1.5, 10**5, 10**9, 10**30, float("nan"), float("inf"), -float("inf"), 1e-300),
    *("4", "", None, True, False, [], [1], [0, 1, 2, 3], [-1, -1, -1, -1], [10**9] * 4, ["a"] * 4, {}, {"width": 16}),
)
HEADERS = (
    "",
    "null",
    "3",
    "[]",
    "{}",
    '"x"',
    "{",
    "not json",
    "[" * 100_000,
    '{"depth": ' * 3000 + "1" + "}" * 3000,
    "9" * 20_000,
    '{"depth": ' + "9" * 20_000 + "}",
    '{"depth": 4, "depth": 4}',
    '{"from_the_future": 1}',
    '{"encoder": 3}',
    '{"encoder": null}',
    '{"encoder": {"width": {"width": 1}}}',
    '{"__class__": "x", "__init__": 1}',
    "\x00",
)
DTYPES = (
    *(torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool, torch.complex64, torch.float16),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16, torch.float64),
)
SHAPES = ((0,), (1,), (), (0, 7), (1 << 20, 0), (3, 5), (1, 2, 3, 4, 5))


@pytest.mark.filterwarnings("ignore")  # PyTorch warns of some of the things that are written here
def test_any_file_loads_or_is_refused(fuzz_cases: int, tmp_path: Path) -> None:
    refused = 0
    for number in range(fuzz_cases):
        path = hostile(number, tmp_path)
        try:
            run(path)
        except ValueError as error:
            refused += 1
            text = str(error)
            assert len(text) < 3000 and text.endswith((".", "'", ")")), (number, text[:300])
        path.unlink()
    assert refused > fuzz_cases / 3


def run(path: Path) -> None:
    """Load a file and use the model, as any front end would."""
    torch.manual_seed(0)
    loaded = load_model(path)
    repr(loaded), str(loaded.report)
    side = 2 * loaded.network.patch_size
    if side < 300:
        with torch.inference_mode():
            loaded.model(torch.rand(1, 3, side, side))


def hostile(number: int, folder: Path) -> Path:
    """The file of this number."""
    draw = random.Random(number)
    family = draw.choice(("vggt", "vggt", "pi3", "da3"))
    kind = KINDS[number % len(KINDS)]
    content, suffix = kind(draw, tiny(family), asdict(CONFIGS[family]))
    path = folder / f"{number}{suffix}"
    path.write_bytes(content)
    return path


def tiny(family: str) -> dict[str, Tensor]:
    """Weights that fit the configuration of that family."""
    return {name: tensor.clone() for name, tensor in drawn(family).items()}


@functools.cache
def drawn(family: str) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return dict(MODELS[family](CONFIGS[family]).state_dict())


def safe(state: dict[str, Tensor], config: str | None) -> bytes:
    return save(state, None if config is None else {"manyview.config": config})


def pickled(content: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def field_value(draw: random.Random, state: dict, config: dict) -> tuple[bytes, str]:
    """One field of the configuration holds something else."""
    places = [(config, name) for name in config]
    places += [(each, name) for each in config.values() if isinstance(each, dict) for name in each]
    inside, name = draw.choice(places)
    inside[name] = draw.choice(VALUES)
    return safe(state, json.dumps(config)), ".safetensors"


def several_fields(draw: random.Random, state: dict, config: dict) -> tuple[bytes, str]:
    """Fields hold other numbers, large together."""
    for inside in (config, *(each for each in config.values() if isinstance(each, dict))):
        for name, value in inside.items():
            if isinstance(value, int) and draw.random() < 0.5:
                inside[name] = draw.choice((value, value, 64, 512, 4096, 10**6))
    return safe(state, json.dumps(config)), ".safetensors"


def lost_field(draw: random.Random, state: dict, config: dict) -> tuple[bytes, str]:
    """A field is missing, so that it has its public value."""
    inside = draw.choice([config, *(each for each in config.values() if isinstance(each, dict))])
    del inside[draw.choice(list(inside))]
    return safe(state, json.dumps(config)), ".safetensors"


def other_header(draw: random.Random, state: dict, config: dict) -> tuple[bytes, str]:
    """The configuration is some other text."""
    return safe(state, draw.choice(HEADERS)), ".safetensors"


def raw_header(draw: random.Random, state: dict, config: dict) -> tuple[bytes, str]:
    """The header of the file lies."""
    good = safe(state, json.dumps(config))
    size = struct.unpack("<Q", good[:8])[0]
    header, body = json.loads(good[8 : 8 + size]), good[8 + size :]
    name = draw.choice([each for each in header if each != "__metadata__"])
    how = draw.randrange(12)
    if how == 0:
        return struct.pack("<Q", draw.choice((0, 1, size - 1, size + 1, 1 << 30, 1 << 62, (1 << 64) - 1))) + good[8:], (
            ".safetensors"
        )
    if how == 1:
        header[name]["shape"] = draw.choice(([10**18], [10**9, 10**9], [-1], [0], ["3"], [1.5], None, 3, [10**30]))
    if how == 2:
        header[name]["data_offsets"] = draw.choice(([0, 0], [10**18, 10**18 + 4], [8, 4], [-4, 4], None, [0], [0, 1e9]))
    if how == 3:
        header[name]["dtype"] = draw.choice(("I64", "U8", "BOOL", "F8_E4M3", "F4", "C64", "F128", "", None, 3))
    if how == 4:
        header["__metadata__"] = draw.choice(({"a": 3}, [], None, {"manyview.config": None}, {"x": "y" * 100_000}))
    if how == 5:
        header |= {f"x{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(5000)}
    if how == 6:
        header["y" * 200_000] = header.pop(name)
    text = json.dumps(header)
    if how == 7:
        text = '{"a": ' * draw.choice((100, 5000, 100_000)) + text
    if how == 8:
        text = text[:-1] + ", " + text[1:]  # everything twice
    if how == 9:
        text = text.replace(name, draw.choice(("\\u0000", "\\ud800", "../../x", "\\u001b[31m", "")))
    if how == 10:
        text = " " * draw.choice((1000, 20 << 20)) + text
    if how == 11:
        text = draw.choice(("[]", "null", "{}", "", "\xff" * 9, '{"__metadata__": {}}'))
    raw = text.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(raw)) + raw + body, ".safetensors"


def damaged_bytes(draw: random.Random, state: dict, config: dict) -> tuple[bytes, str]:
    """Bytes are changed or cut off anywhere, or in the header."""
    suffix = draw.choice((".safetensors", ".pt"))
    content = bytearray(safe(state, json.dumps(config)) if suffix == ".safetensors" else pickled(state))
    end = len(content) if draw.random() < 0.5 else min(len(content), 4000)
    for _ in range(draw.choice((1, 1, 3, 30))):
        content[draw.randrange(end)] = draw.randrange(256)
    if draw.random() < 0.3:
        del content[draw.randrange(len(content)) :]
    return bytes(content), suffix


def other_tensors(draw: random.Random, state: dict, config: dict) -> tuple[bytes, str]:
    """A tensor is missing, too much, of another shape or type, or holds what is no number."""
    name, how = draw.choice(list(state)), draw.randrange(7)
    if how == 0:
        state[name] = torch.zeros(draw.choice(SHAPES))
    elif how == 1:
        del state[name]
    elif how == 2:
        state[draw.choice(("surprise", "", "x" * 10_000, "image_mean", "encoder.mask_token"))] = torch.zeros(3)
    elif how == 3:
        state[name] = state[name].to(draw.choice(DTYPES))
    elif how == 4:
        dtype = draw.choice(DTYPES)
        state = {each: tensor.to(dtype) for each, tensor in state.items()}
    elif how == 5:
        state[name] = torch.full_like(state[name], draw.choice((float("nan"), float("inf"), -float("inf"))))
    else:
        state[name].view(-1)[draw.randrange(state[name].numel())] = draw.choice((float("nan"), float("inf")))
    config_text = draw.choice((json.dumps(config), None))
    if draw.random() < 0.5:
        return safe(state, config_text), ".safetensors"
    return pickled(state), draw.choice((".pt", ".pth", ".bin"))


def odd_pickle(draw: random.Random, state: dict, config: dict) -> tuple[bytes, str]:
    """What torch.save can hold beside plain tensors by name."""
    name = draw.choice(list(state))
    deep: Any = state
    for _ in range(120):
        deep = {"model": deep}
    choices: tuple[Callable[[], Any], ...] = (
        lambda: dict(enumerate(state.values())),
        lambda: {**state, 3: torch.zeros(1)},
        lambda: {**state, None: torch.zeros(1)},
        lambda: {**state, (1, 2): torch.zeros(1)},
        lambda: list(state.values()),
        lambda: torch.zeros(3),
        lambda: {"model": 3, "state_dict": state},
        lambda: {"model": {}},
        lambda: {},
        lambda: None,
        lambda: 10**5000,
        lambda: "x" * 100_000,
        lambda: deep,
        lambda: {**state, name: state[name].to_sparse()},
        lambda: {**state, name: torch.quantize_per_tensor(state[name], 0.1, 0, torch.quint8)},
        lambda: {**state, name: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])},
        lambda: {**state, name: torch.empty(1 << 40, device="meta")},
        lambda: {**state, name: torch.zeros(1).expand(1 << 40)},
        lambda: {**state, name: torch.zeros(1).expand(state[name].shape)},
        lambda: {each: torch.zeros(1).expand(1 << 20, 1 << 20) for each in state},
        lambda: {**state, name: torch.nn.Parameter(state[name])},
        lambda: {**state, name: state[name].t() if state[name].ndim == 2 else state[name]},
        lambda: {**state, name: state[name].to(torch.complex64).conj()},
        lambda: {**state, name: 3},
        lambda: {f"module.{each}": tensor for each, tensor in state.items()},
    )
    return pickled(draw.choice(choices)(), _use_new_zipfile_serialization=draw.random() < 0.8), ".pt"


def zip_bomb(draw: random.Random, state: dict, config: dict) -> tuple[bytes, str]:
    """An archive that torch.save did not write: compressed, with entries twice, or whose directory lies."""
    how, file = draw.randrange(5), io.BytesIO()
    good = zipfile.ZipFile(io.BytesIO(pickled(state)))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED if how in (2, 3) else zipfile.ZIP_DEFLATED) as archive:
        for entry in good.namelist():
            archive.writestr(entry, bytes(40 << 20) if how == 1 and entry.endswith("/0") else good.read(entry))
        if how == 2:
            for entry in range(3000):
                archive.writestr(f"archive/data/x{entry}", b"")
        if how == 4:
            archive.writestr("archive/data.pkl2", bytes(60 << 20))
    content = bytearray(file.getvalue())
    if how == 3:  # every entry claims a gigabyte
        place = -1
        while (place := content.find(b"PK\x01\x02", place + 1)) >= 0:
            content[place + 20 : place + 28] = struct.pack("<II", 1 << 30, 1 << 30)
    return bytes(content), ".pt"


def no_weights(draw: random.Random, state: dict, config: dict) -> tuple[bytes, str]:
    """Something else under the name of a file of weights."""
    content = draw.choice(
        (
            b"",
            b"PK\x03\x04",
            b"PK\x05\x06" + bytes(18),
            b"<html>",
            b"version https://git-lfs",
            b"\x80\x04\x95" + b"\xff" * 8,
            b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
            b"\x80\x02" + b"(" * 50_000 + b".",
            b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",
            draw.randbytes(3000),
            bytes(3000),
            b"\x93NUMPY\x01\x00",
            safe(state, None),
            pickled(state),
        )
    )
    return content, draw.choice((".safetensors", ".pt", ".ckpt"))


KINDS = (
    field_value,
    other_header,
    field_value,
    raw_header,
    field_value,
    other_tensors,
    field_value,
    odd_pickle,
    several_fields,
    zip_bomb,
    other_tensors,
    damaged_bytes,
    field_value,
    raw_header,
    lost_field,
    no_weights,
)


@pytest.mark.parametrize("family", list(CONFIGS))
def test_what_is_mutated_is_good_before(family: str, tmp_path: Path) -> None:
    path = tmp_path / "good.safetensors"
    path.write_bytes(safe(tiny(family), json.dumps(asdict(CONFIGS[family]))))
    run(path)
