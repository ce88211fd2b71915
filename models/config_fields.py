"""The fields of a network's configuration: what each may hold, and how a configuration is read from plain JSON.

A configuration comes out of a file that may be anybody's. Every value is checked before anything is built from it, so
that no file can ask for a network that takes for ever to build or to run.
"""

from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args

T = TypeVar("T")

MOST_CHANNELS, MOST_BLOCKS = 16_384, 512
CHANNELS, BLOCKS = (1, MOST_CHANNELS), (1, MOST_BLOCKS)
WHOLE = {
    "width": CHANNELS,
    "head_width": CHANNELS,
    "camera_width": CHANNELS,
    "features": (8, MOST_CHANNELS),
    "hidden": CHANNELS,
    "displacement_channels": CHANNELS,
    "virtual_points": CHANNELS,
    "depth": BLOCKS,
    "head_depth": BLOCKS,
    "trunk_depth": BLOCKS,
    "heads": BLOCKS,
    "head_heads": BLOCKS,
    "registers": (0, 1024),
    "patch_size": (1, 128),
    "image_size": (1, 16_384),
    "trained_size": (1, 16_384),
    "alternate_from": BLOCKS,
    "passes": (1, 64),
    "stride": (1, 64),
    "corr_levels": (1, 16),
    "corr_radius": (0, 32),
}
REAL = {
    "mlp_ratio": (1 / 64, 64),
    "layer_scale": (0, 1e4),
    "special_token_std": (0, 1e4),
    "displacement_scale": (1e-4, 1e6),
}
LISTS = {"stem_channels": ((0, 2), CHANNELS), "channels": ((4,), CHANNELS), "kept_layers": ((4,), (0, MOST_BLOCKS - 1))}
FLAGS = ("depth_head", "point_head")


def check_fields(config: Any) -> None:
    """ValueError that names the first field of a configuration which holds something that it cannot."""
    for field in fields(config):
        name, value = field.name, getattr(config, field.name)
        if name in WHOLE:
            _number(name, value, *WHOLE[name], whole=True)
        elif name in REAL:
            _number(name, value, *REAL[name], whole=False)
        elif name in LISTS:
            _numbers(name, value, *LISTS[name])
        elif name in FLAGS:
            if not isinstance(value, bool):
                raise ValueError(f"{name} must be true or false, got {_short(value)}.")
        elif not isinstance(value, field.type):
            raise ValueError(f"{name} must be a {_nested(field.type).__name__}, got {_short(value)}.")


def check_heads(width: int, heads: int, turned: bool = True) -> None:
    """ValueError unless the width splits into heads, with `turned` of a width that rotary positions can turn."""
    if width % heads:
        raise ValueError(f"The width {width} does not split into {heads} heads; choose a divisor of the width.")
    if turned and width // heads % 4:
        raise ValueError(f"Heads must be a multiple of 4 wide, got {width} / {heads} = {width // heads}.")


def read_config(kind: type[T], plain: Any) -> T:
    """The configuration that `dataclasses.asdict` and JSON made plain; ValueError where it is none.

    What is left out has its default; a field that is not known is refused.
    """
    if not isinstance(plain, dict):
        raise ValueError(f"a {kind.__name__} must be an object, got {_short(plain)}.")
    known = {field.name: field for field in fields(kind)}
    unknown = sorted(_short(name) for name in plain if name not in known)
    if unknown:
        raise ValueError(f"a {kind.__name__} has no field {', '.join(unknown[:5])}.")
    values = {}
    for name, value in plain.items():
        nested = _nested(known[name].type)
        if nested is not None and value is not None:
            value = read_config(nested, value)
        values[name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def _nested(kind: Any) -> Any:
    """The configuration in a field's type, if there is one."""
    return next((each for each in (kind, *get_args(kind)) if is_dataclass(each)), None)


def _number(name: str, value: Any, least: float, most: float, whole: bool) -> None:
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        what = "a whole number" if whole else "a number"
        raise ValueError(f"{name} must be {what} from {least:g} to {most:g}, got {_short(value)}.")


def _numbers(name: str, value: Any, counts: tuple[int, ...], limits: tuple[int, int]) -> None:
    if not isinstance(value, tuple) or len(value) not in counts:
        raise ValueError(f"{name} must be {' or '.join(map(str, counts))} numbers, got {_short(value)}.")
    for each in value:
        _number(name, each, *limits, whole=True)


def _short(value: Any) -> str:
    """A value for a message; numbers of thousands of digits cannot even be printed."""
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a number of more than 18 digits"
    text = repr(value) if isinstance(value, bool | int | float | str | None) else type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."
