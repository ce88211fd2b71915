"""How much of global attention is computed: the choice that goes from a control to `reconstruct`."""

from dataclasses import replace
from os import PathLike

from ..models.sparse import PRESETS, SparsityConfig
from ..texts.paths import is_there, named_path
from ..texts.plain_json import parse_json
from .parameters import documented

LARGEST_SCHEDULE_BYTES = 1_000_000


@documented
def sparsity(
    *,
    method: str = "quality",
    rho: float | None = None,
    tau: float | None = None,
    dense_layers: str | None = None,
    min_tokens: int | None = None,
    schedule: str | PathLike | None = None,
) -> SparsityConfig:
    """How much of global attention is computed, for `reconstruct(sparsity=...)`."""
    custom = {"rho": rho, "tau": tau, "dense_layers": dense_layers or None}
    given = sorted(name for name, value in custom.items() if value is not None)
    if given and method != "custom":
        raise ValueError(f"{', '.join(given)} belong to method custom, but the method is {method}; set it to custom.")
    if schedule and method != "file":
        raise ValueError(f"A schedule belongs to method file, but the method is {method}; set it to file.")
    if method == "custom":
        if rho is None and tau is None:
            raise ValueError("The method custom needs rho or tau; rho 0.5 leaves out half of the key blocks.")
        config = replace(PRESETS["balanced"], rho=rho, tau=tau, dense_layers=dense_layers or "")
    elif method == "file":
        if not schedule:
            raise ValueError("The method file needs a schedule; the calibrate command writes one.")
        config = read_schedule(schedule)
    elif method in PRESETS:
        config = PRESETS[method]
    else:
        raise ValueError(f"method must be one of {', '.join(PRESETS)}, custom, file; got {method!r}.")
    return config if min_tokens is None else replace(config, min_tokens=min_tokens)


def read_schedule(path: str | PathLike) -> SparsityConfig:
    """The configuration in a JSON file: what `SparsityConfig.to_dict` gives, perhaps under the name "sparsity"."""
    path = named_path(path)
    if not (is_there(path) and path.is_file()):
        raise FileNotFoundError(f"There is no schedule {path}; give a JSON file written by the calibrate command.")
    if path.stat().st_size > LARGEST_SCHEDULE_BYTES:
        raise ValueError(f"{path} is too large for a schedule; give a file written by the calibrate command.")
    try:
        plain = parse_json(path.read_bytes(), "the file")
        return SparsityConfig.from_dict(plain.get("sparsity", plain) if isinstance(plain, dict) else plain)
    except ValueError as error:
        raise ValueError(f"{path} is no sparsity schedule: {error}") from error
