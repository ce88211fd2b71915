"""How fast this machine is: attention kernels, the choice of blocks, whole forward passes, and how many frames fit.

  attention   one layer of random numbers: every kernel that is installed, at several shares of blocks, with its error
  selection   time and memory of choosing the blocks, against the number of frames
  forward     whole passes: seconds, parts, roofline, memory; public code beside ours; against an earlier report
  memory      how many frames fit when the GPU's memory is capped

Writes benchmark.json and figures into OUT; a run that is stopped keeps the rows that it has. Without a GPU only a tiny
size makes sense: it shows that everything runs.

  python . benchmark attention --out OUT
  python . benchmark selection --frames 100 200 400 1000 --sparsity balanced paper-s75 --out OUT
  python . benchmark forward --sparsity dense balanced keep-25 --image-sizes 518x518 392x518 --out OUT
  python . benchmark forward --frames 10 100 200 --peers vggt=FOLDER sparse-vggt=FOLDER,sparse_ratio=0.75 --out OUT
  python . benchmark forward --compare benchmarks/results/forward_h200.json --out OUT
  python . benchmark memory --sparsity fast --memory-caps 8 16 24 --out OUT
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SUBJECTS = ("attention", "selection", "forward", "memory")
DEFAULT_SUBJECTS = SUBJECTS[:2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, and its size."""
    from ._benchmark_forward import add_forward_arguments
    from ._options import NO_KERNELS

    parser.add_argument(
        "subjects",
        nargs="*",
        metavar="SUBJECTS",
        help=f"of {', '.join(SUBJECTS)} (default: {' and '.join(DEFAULT_SUBJECTS)})",
    )
    parser.add_argument(
        "--frames",
        type=int,
        nargs="+",
        metavar="N",
        help="(default: 100; selection: 50 to 1000; forward: 1 10 50 100 200 500 1000)",
    )
    parser.add_argument("--grid", type=int, nargs=2, default=[37, 37], metavar=("H", "W"), help="patches of a frame")
    parser.add_argument("--special", type=int, default=5, help="special tokens of a frame (default: 5)")
    parser.add_argument("--heads", type=int, default=16, help="(default: 16)")
    parser.add_argument("--width", type=int, default=64, help="width of a head (default: 64)")
    parser.add_argument("--keep", type=float, nargs="+", default=[1.0, 0.25, 0.1], help="(default: 1 0.25 0.1)")
    parser.add_argument(
        "--sparsity",
        nargs="+",
        metavar="NAME",
        help="presets, JSON schedules, or keep-N for the paper's rule by number (default: balanced paper-s75; forward: "
        "dense balanced; memory: fast)",
    )
    parser.add_argument("--repeats", type=int, metavar="N", help="(default: 10; forward: 3)")
    parser.add_argument("--device", default="auto", help="cpu, cuda ... (default: auto)")
    parser.add_argument("--precision", default="auto", help="float32, bfloat16, float16 or auto (default: auto)")
    parser.add_argument("--no-kernels", action="store_true", help=NO_KERNELS)
    parser.add_argument("--out", type=Path, default=Path("output/benchmark"), metavar="DIR", help="folder for results")
    add_forward_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Check all, measure, print, write."""
    from ..evaluation.store import write_json
    from ..evaluation.style import require_matplotlib
    from ..models.gpu_kernels import allow_kernels
    from ..nodes.load_model import choose_device, choose_dtype
    from ._benchmark_forward import ForwardBenchmark
    from ._output import check_place
    from ._progress_bars import ProgressBars

    require_matplotlib()
    check_place(arguments.out)
    allow_kernels(not arguments.no_kernels)
    subjects = chosen_subjects(arguments)
    check(arguments, subjects)
    device = choose_device(arguments.device)
    dtype = choose_dtype(arguments.precision, device)
    report = {"command": command_line(), "machine": machine(device), "options": plain_options(arguments)}
    configs = layer_configs(arguments) if "selection" in subjects else {}
    if "memory" in subjects:
        from ..evaluation.speed.capacity import require_cuda

        require_cuda(device)
    passes = ForwardBenchmark(arguments, device, dtype, report) if {"forward", "memory"} & {*subjects} else None
    arguments.out.mkdir(parents=True, exist_ok=True)

    def save() -> None:
        write_json(arguments.out / "benchmark.json", report)

    try:
        with ProgressBars() as progress:
            if "attention" in subjects:
                attention(arguments, device, dtype, report, save, progress)
            if "selection" in subjects:
                selection(arguments, configs, device, dtype, report, save, progress)
            if "forward" in subjects:
                passes.measure(save, progress)
            if "memory" in subjects:
                passes.capacity(save, progress)
    finally:  # also of a run that was stopped
        print_layers(report)
        if passes is not None:
            passes.finish()
    print(f"\nwritten to {arguments.out}")


def chosen_subjects(arguments: argparse.Namespace) -> list[str]:
    """In the order in which they are measured."""
    asked = arguments.subjects or ([] if arguments.memory_caps else DEFAULT_SUBJECTS)
    unknown = sorted(set(asked) - set(SUBJECTS))
    if unknown:
        raise ValueError(f"Nothing called {', '.join(unknown)} can be measured; choose from {', '.join(SUBJECTS)}.")
    return [name for name in SUBJECTS if name in asked or (name == "memory" and arguments.memory_caps)]


def check(arguments: argparse.Namespace, subjects: Sequence[str]) -> None:
    """ValueError for sizes and shares that mean nothing, and for options that would do nothing."""
    sizes = (*arguments.grid, arguments.heads, arguments.width, *(arguments.frames or [1]))
    if arguments.repeats is not None:
        sizes = (*sizes, arguments.repeats)
    if min(sizes) < 1 or arguments.special < 0 or not all(0 < keep <= 1 for keep in arguments.keep):
        raise ValueError("Sizes, frames and repeats must be at least 1, --special at least 0, --keep above 0 up to 1.")
    if "forward" not in subjects and (arguments.peers or arguments.add or arguments.compare):
        raise ValueError("--peers, --add and --compare belong to the subject forward; name it, or leave them out.")
    if arguments.sparsity and not {"selection", "forward", "memory"} & {*subjects}:
        raise ValueError("--sparsity belongs to selection, forward and memory; name one of them, or leave it out.")


def layer_configs(arguments: argparse.Namespace) -> dict[str, Any]:
    """Settings for the choice of blocks, for inputs of any length."""
    from ._benchmark_forward import setting

    configs = dict(setting(text, 0) for text in arguments.sparsity or ("balanced", "paper-s75"))
    if None in configs.values():
        raise ValueError("dense chooses no blocks, so selection cannot time it; leave it out of --sparsity.")
    return configs


def attention(
    arguments: argparse.Namespace, device: Any, dtype: Any, report: dict[str, Any], save: Any, progress: Any
) -> None:
    """Kernels on one layer."""
    from ..evaluation.speed.figures import kernel_figure
    from ..evaluation.speed.kernels import measure_kernels, random_layer
    from ..evaluation.style import write_plot
    from ..models.attention import TokenLayout

    layout = TokenLayout((arguments.frames or [100])[0], arguments.special, *arguments.grid)
    layer = random_layer(layout, arguments.heads, arguments.width, dtype, device)
    report["attention"] = list(measure_kernels(layer, arguments.keep, arguments.repeats or 10, progress))
    save()
    conditions = conditions_text(arguments, report["machine"], dtype)
    where = f"{layout.frames} frames, {layout.frames * layout.tokens_per_frame:,} tokens, {conditions}"
    write_plot(kernel_figure(report["attention"], where), arguments.out)


def selection(
    arguments: argparse.Namespace,
    configs: dict[str, Any],
    device: Any,
    dtype: Any,
    report: dict[str, Any],
    save: Any,
    progress: Any,
) -> None:
    """The choice of blocks against the number of frames."""
    from ..evaluation.speed.figures import selection_figure
    from ..evaluation.speed.selection import measure_selection
    from ..evaluation.style import write_plot

    frames = arguments.frames or [50, 100, 200, 400, 700, 1000]
    size = (tuple(arguments.grid), arguments.special, arguments.heads, arguments.width)
    rows = measure_selection(configs, frames, *size, dtype, device, arguments.repeats or 10, progress)
    report["selection"] = list(rows)
    save()
    conditions = conditions_text(arguments, report["machine"], dtype)
    write_plot(selection_figure(report["selection"], conditions), arguments.out)


def print_layers(report: dict[str, Any]) -> None:
    """The rows about one layer."""
    from ..evaluation.speed.figures import kernel_label

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
    skipped = {"run", "out", "command", "debug", "argv", "add", "compare"}
    return {name: value for name, value in vars(arguments).items() if name not in skipped}


def conditions_text(arguments: argparse.Namespace, found: dict[str, str], dtype: Any) -> str:
    """For captions."""
    height, width = arguments.grid
    return (
        f"{arguments.heads} heads of {arguments.width}, {height} x {width} patches and {arguments.special} special "
        f"tokens a frame, {str(dtype).removeprefix('torch.')}, {found['device']}, PyTorch {found['torch']}; "
        f"median of {arguments.repeats or 10}."
    )
