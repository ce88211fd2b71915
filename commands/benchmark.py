"""How fast sparse attention is on this machine: kernels against each other, and the choice of blocks.

  attention   one layer of random numbers: every kernel that is installed, at several shares of blocks, with its error
  selection   time and memory of choosing the blocks, against the number of frames

Writes benchmark.json and figures into OUT. Without a GPU only a tiny size makes sense: it shows that everything runs.

  python . benchmark attention --out OUT
  python . benchmark selection --frames 100 200 400 1000 --sparsity balanced paper-s75 --out OUT
"""

import argparse
from pathlib import Path
from typing import Any

SUBJECTS = ("attention", "selection")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, and the size of the layer."""
    parser.add_argument("subjects", nargs="*", metavar="SUBJECTS", help=f"of {', '.join(SUBJECTS)} (default: all)")
    parser.add_argument("--frames", type=int, nargs="+", metavar="N", help="(default: 100; 50 to 1000 for selection)")
    parser.add_argument("--grid", type=int, nargs=2, default=[37, 37], metavar=("H", "W"), help="patches of a frame")
    parser.add_argument("--special", type=int, default=5, help="special tokens of a frame (default: 5)")
    parser.add_argument("--heads", type=int, default=16, help="(default: 16)")
    parser.add_argument("--width", type=int, default=64, help="width of a head (default: 64)")
    parser.add_argument("--keep", type=float, nargs="+", default=[1.0, 0.25, 0.1], help="(default: 1 0.25 0.1)")
    parser.add_argument(
        "--sparsity",
        nargs="+",
        default=["balanced", "paper-s75"],
        metavar="NAME",
        help="settings for selection: presets or JSON schedules (default: balanced paper-s75)",
    )
    parser.add_argument("--repeats", type=int, default=10, help="(default: 10)")
    parser.add_argument("--device", default="auto", help="cpu, cuda ... (default: auto)")
    parser.add_argument("--precision", default="auto", help="float32, bfloat16, float16 or auto (default: auto)")
    parser.add_argument("--out", type=Path, default=Path("output/benchmark"), metavar="DIR", help="folder for results")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    from ..evaluation.speed.figures import kernel_figure, kernel_label, selection_figure
    from ..evaluation.speed.kernels import measure_kernels, random_layer
    from ..evaluation.speed.selection import measure_selection
    from ..evaluation.store import write_json
    from ..evaluation.style import require_matplotlib, write_plot
    from ..models.attention import TokenLayout
    from ..nodes.load_model import choose_device, choose_dtype
    from ._progress_bars import ProgressBars

    require_matplotlib()
    subjects = arguments.subjects or SUBJECTS
    unknown = sorted(set(subjects) - set(SUBJECTS))
    if unknown:
        raise ValueError(f"Nothing called {', '.join(unknown)} can be measured; choose from {', '.join(SUBJECTS)}.")
    sizes = (*arguments.grid, arguments.heads, arguments.width, arguments.repeats, *(arguments.frames or [1]))
    if min(sizes) < 1 or arguments.special < 0 or not all(0 < keep <= 1 for keep in arguments.keep):
        raise ValueError("Sizes, frames and repeats must be at least 1, --special at least 0, --keep above 0 up to 1.")
    device = choose_device(arguments.device)
    dtype = choose_dtype(arguments.precision, device)
    configs = {Path(name).stem: named_setting(name) for name in arguments.sparsity}
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = {"command": command_line(), "machine": machine(device), "options": plain_options(arguments)}
    conditions = conditions_text(arguments, report["machine"], dtype)
    with ProgressBars() as progress:
        if "attention" in subjects:
            layout = TokenLayout((arguments.frames or [100])[0], arguments.special, *arguments.grid)
            layer = random_layer(layout, arguments.heads, arguments.width, dtype, device)
            report["attention"] = list(measure_kernels(layer, arguments.keep, arguments.repeats, progress))
            write_json(arguments.out / "benchmark.json", report)
            where = f"{layout.frames} frames, {layout.frames * layout.tokens_per_frame:,} tokens, {conditions}"
            write_plot(kernel_figure(report["attention"], where), arguments.out)
            del layer
        if "selection" in subjects:
            frames = arguments.frames or [50, 100, 200, 400, 700, 1000]
            size = (tuple(arguments.grid), arguments.special, arguments.heads, arguments.width)
            rows = measure_selection(configs, frames, *size, dtype, device, arguments.repeats, progress)
            report["selection"] = list(rows)
            write_plot(selection_figure(report["selection"], conditions), arguments.out)
    write_json(arguments.out / "benchmark.json", report)
    for row in report.get("attention", ()):
        numbers = (
            row.get("error") if "tflops" not in row else f"{row['milliseconds']:9.2f} ms {row['tflops']:6.0f} TFLOP/s"
        )
        exact = "" if not isinstance(row.get("error"), float) else f"  error {row['error']:.1e}"
        print(f"{kernel_label(row):42} keep {100 * row['keep']:3.0f} % {numbers}{exact}")
    for row in report.get("selection", ()):
        if "error" in row:
            print(f"{row['setting']:12} {row['frames']:5} frames  {row['error']}")
            continue
        memory = "" if row["choice_memory_bytes"] is None else f", {row['choice_memory_bytes'] / 2**20:6.0f} MiB"
        print(
            f"{row['setting']:12} {row['frames']:5} frames  choice {row['choice_ms']:8.2f} ms{memory}, whole "
            f"{row['whole_ms']:8.2f} ms, choice / attention {percent(row['share_of_attention'])}, density "
            f"{percent(row['density'])}"
        )
    print(f"\nwritten to {arguments.out}")


def named_setting(name: str) -> Any:
    """A preset, or the setting in a JSON file, for inputs of any length."""
    from ..nodes.sparsity import sparsity

    choice = {"method": "file", "schedule": name} if name.endswith(".json") else {"method": name}
    return sparsity(**choice, min_tokens=0)


def percent(share: float | None) -> str:
    """A share as text."""
    return "-" if share is None else f"{100 * share:.1f} %"


def command_line() -> str:
    """The command as given."""
    import sys

    return "python . " + " ".join(sys.argv[1:])


def machine(device: Any) -> dict[str, str]:
    """What it ran on."""
    import platform

    import torch

    found = {"python": platform.python_version(), "torch": torch.__version__, "system": platform.platform()}
    if device.type == "cuda":
        import importlib.metadata

        found |= {"device": torch.cuda.get_device_name(device), "cuda": str(torch.version.cuda)}
        for package in ("triton", "flash-attn-4", "block-sparse-attn"):
            try:
                found[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
    else:
        found["device"] = platform.processor() or platform.machine()
    return found


def plain_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options as JSON can hold them."""
    skipped = {"run", "out", "command", "debug", "argv"}
    return {name: value for name, value in vars(arguments).items() if name not in skipped}


def conditions_text(arguments: argparse.Namespace, found: dict[str, str], dtype: Any) -> str:
    """For captions."""
    height, width = arguments.grid
    return (
        f"{arguments.heads} heads of {arguments.width}, {height} x {width} patches and {arguments.special} special "
        f"tokens a frame, {str(dtype).removeprefix('torch.')}, {found['device']}, PyTorch {found['torch']}; "
        f"median of {arguments.repeats}."
    )
