"""Measure models, dense and sparse, on rendered scenes (no download) or on the published benchmarks.

All settings see the same images, predictions are stored, and metrics are made from what is stored. The folder OUT gets
results.json, results.csv, report.md, report.html and plots/. The same command goes on with a run that was stopped;
scenes that failed are rows and are tried again.

  python . evaluate                                                   mini, dense, 64 rendered scenes of 8 and 24 frames
  python . evaluate --sparsity dense quality balanced fast paper-s25 paper-s50 paper-s75 --min-tokens 0 \\
      --frames 8 24 48 --scenes 32 --device cuda --precision float32 --workers 8 --keep poses --out OUT
  python . evaluate --data 7scenes --check                            where to get it, licence; with --root what lacks
  python . evaluate --data 7scenes --root /data/7scenes --view sparse --model pi3 --sparsity dense balanced

Exit codes: 0 done (also if scenes failed: they are in the report), 1 failed, 2 bad input, 130 stopped with Ctrl-C.
"""

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, on what, and where to."""
    data = parser.add_argument_group("data")
    data.add_argument("--data", nargs="+", default=["synthetic"], metavar="NAME", help="data sets (default: synthetic)")
    data.add_argument("--root", type=Path, metavar="DIR", help="folder of the data set; with several, their parent")
    data.add_argument("--check", action="store_true", help="only say what is missing and where to get it")
    data.add_argument("--scenes", type=positive, metavar="N", help="only the first N scenes (synthetic: 64)")
    data.add_argument("--only", nargs="+", metavar="SCENE", help="only these scenes")
    data.add_argument(
        "--frames", nargs="+", metavar="N", help="frames a scene (synthetic: 8 24; folder: 24; tanks: 25 ... full)"
    )
    data.add_argument("--view", nargs="+", metavar="VIEW", help="sparse or dense frames (7scenes, nrgbd: both)")
    data.add_argument(
        "--size", type=positive, metavar="PX", help="longer side of synthetic images and of folder (default: 224)"
    )
    model = parser.add_argument_group("methods")
    model.add_argument("--model", nargs="+", default=["mini"], help="names or files of weights (default: mini)")
    model.add_argument("--download", action="store_true", help="fetch the weights of a named model that are not here")
    model.add_argument(
        "--sparsity", nargs="+", default=["dense"], metavar="NAME", help="presets or JSON schedules (default: dense)"
    )
    model.add_argument(
        "--min-tokens", type=int, metavar="N", help="be dense below N tokens (0: never), for all presets"
    )
    model.add_argument("--backend", default="auto", help="of sparse attention: auto, triton, torch, reference")
    model.add_argument("--point-source", choices=("depth", "points"), help="where points come from (default: by model)")
    model.add_argument("--device", default="auto", help="cpu, cuda ... (default: auto)")
    model.add_argument("--precision", default="float32", help="float32, bfloat16, float16 or auto (default: float32)")
    model.add_argument(
        "--public",
        nargs="+",
        default=[],
        metavar="KIND=FOLDER[,WEIGHTS][,OPTION=VALUE]",
        help="public code: vggt, pi3, fastvggt, sparse-vggt or sparse-pi3 out of a checkout",
    )
    model.add_argument("--plugin", nargs="+", default=[], metavar="FILE.py:CLASS", help="methods of your own")
    model.add_argument(
        "--first-vggt-poses", action="store_true", help="pair errors as in the first VGGT evaluator and DA3's benchmark"
    )
    run_ = parser.add_argument_group("run")
    run_.add_argument("--out", type=Path, metavar="DIR", help="folder of the run (default: output/evaluation)")
    run_.add_argument("--predictions", type=Path, metavar="DIR", help="folder of predictions (default: in OUT)")
    run_.add_argument(
        "--keep", choices=("all", "poses"), default="all", help="what stays of predictions after scoring (default: all)"
    )
    run_.add_argument("--workers", type=positive, default=1, metavar="N", help="threads that score (default: 1)")
    run_.add_argument("--part", type=part, default=(1, 1), metavar="I/K", help="every K-th scene from the I-th on")
    run_.add_argument("--ray", metavar="ADDRESS", help="spread over a Ray cluster that sees OUT, or local")
    run_.add_argument(
        "--parts", type=positive, metavar="K", help="with --ray, into so many (default: what fits at once)"
    )
    run_.add_argument("--no-plots", action="store_true", help="no figures (they need matplotlib)")


def run(arguments: argparse.Namespace) -> int | None:
    """Check, predict, score, report."""
    from dataclasses import replace

    from ..evaluation.datasets.catalog import open_benchmarks
    from ..nodes.load_model import choose_device

    device = choose_device(arguments.device)
    benchmarks = open_benchmarks(
        arguments.data,
        root=arguments.root,
        frames=arguments.frames,
        views=arguments.view,
        count=arguments.scenes,
        size=arguments.size,
        device=device,
        described=arguments.check,
    )
    if arguments.first_vggt_poses:
        for benchmark in benchmarks:
            benchmark.rules = replace(benchmark.rules, relative_form="first_vggt")
    if arguments.check:
        return check(benchmarks, arguments.root)
    absent = [line for benchmark in benchmarks for line in benchmark.missing()]
    if absent and len(absent) == sum(len(b.missing()) for b in benchmarks if not present(b)):
        raise FileNotFoundError(f"{absent[0]} Run with --check for all of it.")
    return evaluate(arguments, benchmarks, device)


def check(benchmarks: list, root: Path | None) -> int:
    """Where to get every data set, and what of it is missing; 2 if something is."""
    complete, told = True, None
    for benchmark in benchmarks:
        if benchmark.card is not told:
            told = benchmark.card
            print_card(told)
        lines = benchmark.missing()
        print(f"{benchmark.name}: {len(benchmark.scenes())} scenes")
        if root is None and lines:
            print("  give the folder ROOT with --root to see what is missing")
        else:
            for line in lines[:20]:
                print(f"  missing  {line}")
            if len(lines) > 20:
                print(f"  missing  ... and {len(lines) - 20} more")
            print("  complete" if not lines else f"  {len(lines)} things are missing")
        complete &= not lines
    return 0 if complete else 2


def print_card(card: Any) -> None:
    """Title, frames, source and licence of a data set, as wide as the terminal."""
    import shutil
    import textwrap

    wrap = textwrap.TextWrapper(min(120, shutil.get_terminal_size((120, 24)).columns), subsequent_indent=" " * 11)
    wrap.break_long_words = wrap.break_on_hyphens = False
    print(card.title)
    for what in ("frames", "source", "licence"):
        wrap.initial_indent = f"  {what:9}"
        print(wrap.fill(getattr(card, what)))


def present(benchmark: Any) -> bool:
    """True if at least one scene can be read."""
    return len(benchmark.missing()) < len(benchmark.scenes())


def evaluate(arguments: argparse.Namespace, benchmarks: list, device: Any) -> None:
    from ..evaluation.methods.method import load_plugin
    from ..evaluation.methods.public import PublicMethod, parse_public
    from ..evaluation.plots import evaluation_plots
    from ..evaluation.report import write_reports
    from ..evaluation.results import collect, difference_table, table, text_table, write_results
    from ..evaluation.run import RunOptions, chosen_scenes, run_benchmark
    from ..evaluation.spread import spread
    from ..evaluation.store import RunFolder
    from ..evaluation.style import require_matplotlib, write_plot
    from ._progress_bars import ProgressBars

    if not arguments.no_plots:
        require_matplotlib()
    out = arguments.out or Path("output") / "evaluation"
    folder = RunFolder(out, arguments.predictions)
    folder.refuse_foreign()
    options = RunOptions(arguments.only, arguments.part, arguments.keep == "all", arguments.workers)
    for benchmark in benchmarks:
        chosen_scenes(benchmark, options)  # names that no scene has are an error before models are read
    methods = our_methods(arguments)
    methods += [PublicMethod(parse_public(text), device, arguments.precision) for text in arguments.public]
    methods += [load_plugin(text)() for text in arguments.plugin]
    if len({method.name for method in methods}) < len(methods):
        raise ValueError("Two methods have the same name; give each model and setting once.")
    folder.begin(plan(benchmarks, methods))
    with ProgressBars() as progress:
        if arguments.ray:
            spread(own_command(arguments), arguments.parts, arguments.ray, float(device.type == "cuda"), progress)
        for benchmark in benchmarks:  # after --ray, only what a part may have left
            run_benchmark(benchmark, methods, folder, options, progress)
    if arguments.part != (1, 1):
        print(f"Part {arguments.part[0]} of {arguments.part[1]} is done; run once without --part to put all together.")
        return
    results = collect(folder, benchmarks, methods, conditions(arguments, device))
    write_results(results, out)
    plots = [] if arguments.no_plots else evaluation_plots(results)
    for plot in plots:
        write_plot(plot, out / "plots")
    write_reports(results, plots, out)
    for benchmark in results["benchmarks"]:
        print(f"\n{benchmark['title']}: {benchmark['name']}")
        print(text_table(*table(benchmark)))
        head, lines = difference_table(benchmark)
        if lines:
            print("\ndifference to the baseline [95 % interval over scenes]\n" + text_table(head, lines))
        for row in benchmark["rows"]:
            if row["error"] is not None:
                print(f"failed: {row['method']}, {row['scene']}: {row['error']}")
    print(f"\nEverything is in {out}; look at {out / 'report.html'} first.")


def own_command(arguments: argparse.Namespace) -> list[str]:
    """The words that start this command again, without those about Ray."""
    from ._ranks import own_command as command_of

    words, kept = iter(arguments.argv), []
    for word in words:
        name = word.split("=")[0]
        if name in ("--ray", "--parts"):
            if "=" not in word:
                next(words, None)
            continue
        kept.append(word)
    return command_of(kept)


def our_methods(arguments: argparse.Namespace) -> list:
    """Every model with every sparsity; the first sparsity is the baseline of the others."""
    from ..evaluation.methods.manyview import ManyViewMethod
    from ..nodes.load_model import load_model
    from ..nodes.sparsity import sparsity

    settings = []  # first, because a wrong one should not wait for a model
    for setting in arguments.sparsity:
        is_file = setting.endswith(".json")
        choice = {"method": "file", "schedule": setting} if is_file else {"method": setting}
        settings.append(
            (Path(setting).stem if is_file else setting, sparsity(**choice, min_tokens=arguments.min_tokens))
        )
    methods = []
    for name in arguments.model:
        loaded = load_model(name, precision=arguments.precision, device=arguments.device, download=arguments.download)
        baseline = None
        for label, config in settings:
            method = ManyViewMethod(
                loaded,
                label,
                config,
                backend=arguments.backend,
                point_source=arguments.point_source,
                baseline=baseline,
            )
            baseline = baseline or method.name
            methods.append(method)
    return methods


def plan(benchmarks: list, methods: list) -> dict[str, Any]:
    """What makes two runs the same."""
    return {
        "benchmarks": [{"name": b.name, "scenes": list(b.scenes()), "rules": vars(b.rules)} for b in benchmarks],
        "methods": [{"name": method.name, "settings": method.settings()} for method in methods],
    }


def conditions(arguments: argparse.Namespace, device: Any) -> dict[str, Any]:
    """What was run on what."""
    import datetime
    import importlib.util
    import platform
    import shlex

    import numpy
    import torch

    from ..evaluation.commit import commit
    from ..nodes.load_model import choose_dtype
    from ..version import __version__

    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "command": "python . " + shlex.join(arguments.argv),
        "manyview": __version__,
        "commit": commit(),
        "device": gpu or f"CPU ({platform.processor() or platform.machine()})",
        "precision": str(choose_dtype(arguments.precision, device)).removeprefix("torch."),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "points_library": "open3d" if importlib.util.find_spec("open3d") else "scipy",
        "date": datetime.date.today().isoformat(),
    }


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)


def part(text: str) -> tuple[int, int]:
    """ "2/8" -> (2, 8)."""
    numbers = text.split("/")
    if len(numbers) != 2 or not all(n.isdigit() for n in numbers) or not 1 <= int(numbers[0]) <= int(numbers[1]):
        raise argparse.ArgumentTypeError(f"a part is I/K with 1 <= I <= K, such as 2/8; got {text}")
    return int(numbers[0]), int(numbers[1])
