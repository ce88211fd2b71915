"""How much faster one scene is on several GPUs of this machine: strong scaling of whole passes, random weights.

    python benchmarks/scaling.py --gpus 1 2 4 --frames 200 500 2000 --sparsity dense balanced --out FILE
    python benchmarks/scaling.py --gpus 1 2 --frames 6 --tiny --device cpu --out FILE       shows that it runs

Writes a row for each number of GPUs, frames and setting: seconds of a pass (of the slowest GPU, median of the repeats),
the part of it in collectives, bytes that one GPU sends, peak memory of every GPU (images and weights included), and the
speed-up over the fewest GPUs. Before that the output of several GPUs is compared to that of one, in float32 and in the
number format of the run. What does not fit is a row with an error.
"""

import argparse
import json
import os
import platform
import runpy
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
runpy.run_path(str(ROOT / "__main__.py"), run_name="manyview_registration")

from manyview.commands._ranks import among_ranks, check_devices, run_ranks  # noqa: E402


def main() -> None:
    """Start the processes for each number of GPUs, one after another, and put together what they wrote."""
    arguments = parsed()
    if arguments.rows is not None:
        measure(arguments)
        return
    for gpus in arguments.gpus:
        check_devices(gpus, arguments.device)
    about = {"command": " ".join(["python", *sys.argv]), "python": platform.python_version()}
    rows: list[dict[str, Any]] = []
    agreements: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for gpus in arguments.gpus:
            file = Path(folder) / f"{gpus}.jsonl"
            code = run_ranks([sys.executable, *sys.argv, "--rows", str(file)], gpus)
            lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
            about |= next((line["about"] for line in lines if "about" in line), {})
            agreements += [{"gpus": gpus, **line["agreement"]} for line in lines if "agreement" in line]
            found = [{"gpus": gpus, **line["row"]} for line in lines if "row" in line]
            done = {(row["frames"], row["sparsity"]) for row in found}
            error = f"ended with exit code {code}: out of memory, or see above"
            missing = [pair for pair in passes(arguments) if pair not in done]
            rows += found + [{"gpus": gpus, "frames": n, "sparsity": name, "error": error} for n, name in missing]
            add_speed_up(rows)
            write(arguments.out, {**about, "rows": rows, "agreement": agreements})
    for row in rows:
        print(text(row))
    print(f"written to {arguments.out}")


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--frames", type=int, nargs="+", default=[200, 500])
    parser.add_argument("--sparsity", nargs="+", default=["dense", "balanced"], help="names of presets")
    parser.add_argument("--dense-limit", type=int, default=500, help="no dense pass of more frames (default: 500)")
    parser.add_argument("--model", default="random-vggt-1b", choices=["random-vggt-1b", "random-pi3"])
    parser.add_argument("--tiny", action="store_true", help="a tiny network and images in place of the model")
    parser.add_argument("--size", type=int, nargs=2, default=[518, 518], metavar=("H", "W"))
    parser.add_argument("--precision", default="auto", help="float32, bfloat16, float16 or auto (default: auto)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--warm-up", type=int, default=1, help="passes of each size that do not count (default: 1)")
    parser.add_argument("--check-frames", type=int, default=8, help="of the comparison to one GPU; 0: none")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)  # of one of the processes
    return parser.parse_args()


def passes(arguments: argparse.Namespace) -> list[tuple[int, str]]:
    """Frames and setting of each pass, short ones first: what is too long for the memory ends a process."""
    pairs = ((frames, name) for frames in sorted(arguments.frames) for name in arguments.sparsity)
    return [(n, name) for n, name in pairs if name != "dense" or n <= arguments.dense_limit]


def measure(arguments: argparse.Namespace) -> None:
    """All passes of one number of GPUs, in each of their processes; the first one writes."""
    from manyview.models.parallel import is_first, process_group
    from manyview.nodes.load_model import choose_device

    device = choose_device(arguments.device)
    with process_group(device) if among_ranks() else nullcontext(device) as own_device:
        for line in measured_lines(arguments, own_device):
            if is_first():
                with arguments.rows.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)


def measured_lines(arguments: argparse.Namespace, device: Any) -> Iterator[dict[str, Any]]:
    """What it runs on, then comparisons, then times."""
    import torch

    from manyview.evaluation.speed.scaling import agreement, measure_pass
    from manyview.models.sparse import preset
    from manyview.nodes.load_model import choose_dtype

    dtype = choose_dtype(arguments.precision, device)
    size = (28, 42) if arguments.tiny else tuple(arguments.size)
    configs = {name: None if name == "dense" else replace(preset(name), min_tokens=0) for name in arguments.sparsity}
    yield {"about": about(device) | {"precision": str(dtype).removeprefix("torch."), "size": list(size)}}
    kinds = dict.fromkeys([torch.float32, dtype]) if among_ranks() and arguments.check_frames else {}
    for kind in kinds:
        loaded = model(arguments, kind, device)
        for name, config in configs.items():
            found = agreement(loaded, arguments.check_frames, size, config, device)
            yield {"agreement": {"sparsity": name, "precision": str(kind).removeprefix("torch."), **(found or {})}}
        del loaded
    loaded = model(arguments, dtype, device)
    for frames, name in passes(arguments):
        row = measure_pass(loaded, frames, size, configs[name], device, arguments.repeats, arguments.warm_up)
        yield {"row": {"sparsity": name, **row}}


def model(arguments: argparse.Namespace, dtype: Any, device: Any) -> Any:
    """The same random weights in every process."""
    from manyview.evaluation.analysis.random_weights import random_model, random_weights_model

    if not arguments.tiny:
        return random_model(arguments.model, dtype, device)
    from manyview.models.dinov2 import EncoderConfig
    from manyview.models.vggt import VGGTConfig

    encoder = EncoderConfig(width=64, depth=1, heads=4, image_size=70)
    config = VGGTConfig(encoder, depth=4, heads=4, kept_layers=(0, 1, 2, 3), point_head=False, track=None)
    return random_weights_model(config, dtype, device)


def about(device: Any) -> dict[str, Any]:
    """The machine, and the settings of NCCL that the environment has."""
    import torch

    found: dict[str, Any] = {"torch": torch.__version__, "device": platform.processor() or platform.machine()}
    if device.type == "cuda":
        found |= {"device": torch.cuda.get_device_name(device), "cuda": str(torch.version.cuda)}
        found["nccl"] = ".".join(map(str, torch.cuda.nccl.version()))
        found["environment"] = {name: value for name, value in os.environ.items() if name.startswith("NCCL_")}
    return found


def add_speed_up(rows: list[dict[str, Any]]) -> None:
    """Compare every row with the same pass on the fewest GPUs."""
    for row in rows:
        same = [r for r in rows if all(r[k] == row[k] for k in ("frames", "sparsity")) and "seconds" in r]
        if "seconds" in row:
            base = min(same, key=lambda r: r["gpus"])
            row |= {"speed_up": round(base["seconds"] / row["seconds"], 3), "over_gpus": base["gpus"]}


def write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def text(row: dict[str, Any]) -> str:
    """A line for people."""
    start = f"{row['gpus']} GPUs {row['frames']:5} frames {row['sparsity']:12}"
    if "error" in row:
        return f"{start} {row['error']}"
    peaks = [peak for peak in row["peak_memory_bytes"] if peak is not None]
    memory = f", {max(peaks) / 2**30:.1f} GiB" if peaks else ""
    return (
        f"{start} {row['seconds']:8.3f} s, {row['speed_up']:.2f} times {row['over_gpus']}, collectives "
        f"{row['communication_seconds']:.3f} s, to host {row['to_host_seconds']:.2f} s{memory}"
    )


if __name__ == "__main__":
    main()
