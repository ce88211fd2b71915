"""The paper's figures for any model: attention maps, which layers matter, where time goes, what sparsity costs.

Figures (vector and PNG, with a caption that states the conditions) and their numbers (analysis.json) go into OUT. The
same command goes on with a run that was stopped. FIGURES, all by default:

  attention   matrix of a layer, one patch in all frames, weights by layer and kind of pair, mass in the best blocks
  drop        accuracy without some global layers, in front, at the back, at both ends, in the middle
  time        encoder, frame blocks, global blocks and heads against the number of frames
  density     accuracy against density for several rules, with random blocks as control
  ablation    the same for pooling, centroids and block sizes

  python . analyze --out OUT
  python . analyze attention --images photos/ --model vggt-1b --layer 14
  python . analyze attention time --model random-vggt-1b --size 518 --frames 200 --time-frames 10 25 50 100 200 \\
      --sparsity dense balanced paper-s75 --precision bfloat16 --device cuda --out OUT
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FIGURES = ("attention", "drop", "time", "density", "ablation")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to analyze, and on what."""
    parser.add_argument("figures", nargs="*", metavar="FIGURES", help=f"of {', '.join(FIGURES)} (default: all)")
    parser.add_argument("--model", default="mini", help="a name, a file, random-vggt-1b or random-pi3 (default: mini)")
    parser.add_argument("--download", action="store_true", help="fetch the weights of a named model that are not here")
    parser.add_argument("--images", nargs="+", metavar="PATH", help="photos or a video to look at (default: rendered)")
    parser.add_argument("--frames", type=whole, default=8, metavar="N", help="frames to look at (default: 8)")
    parser.add_argument("--size", type=whole, default=224, metavar="PX", help="side of rendered images (default: 224)")
    parser.add_argument("--scene", type=int, metavar="SEED", help="seed of the rendered scene (default: 1000002)")
    parser.add_argument("--layer", type=int, metavar="N", help="global layer to look at (default: two thirds deep)")
    parser.add_argument("--query-blocks", type=whole, default=32, metavar="N", help="blocks of queries (default: 32)")
    parser.add_argument("--scenes", type=whole, default=16, metavar="N", help="scenes for accuracies (default: 16)")
    parser.add_argument("--drop", type=int, nargs="+", metavar="N", help="numbers of layers to leave out")
    parser.add_argument(
        "--time-frames", type=whole, nargs="+", default=[2, 4, 8, 16], metavar="N", help="(default: 2 4 8 16)"
    )
    parser.add_argument("--repeats", type=whole, default=3, metavar="N", help="timed passes each (default: 3)")
    parser.add_argument(
        "--sparsity", nargs="+", default=["dense", "balanced"], metavar="NAME", help="to time (default: dense balanced)"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda ... (default: auto)")
    parser.add_argument("--precision", default="float32", help="float32, bfloat16, float16 or auto (default: float32)")
    parser.add_argument("--workers", type=whole, default=1, metavar="N", help="threads that score (default: 1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the figures (default: output/analysis)")


def run(arguments: argparse.Namespace) -> None:
    """Each figure after the other; what is done is on disk."""
    from ..evaluation.store import read_json, write_json
    from ..evaluation.style import require_matplotlib, write_plot
    from ..nodes.load_model import choose_device, choose_dtype
    from ._model import open_model
    from ._output import check_place
    from ._progress_bars import ProgressBars

    require_matplotlib()
    wanted = arguments.figures or FIGURES
    out = arguments.out or Path("output") / "analysis"
    check_place(out)
    check(arguments, wanted)
    if out.exists() and any(out.iterdir()) and not (out / "analysis.json").exists() and not (out / "runs").exists():
        raise FileExistsError(f"{out} is not empty and holds no analysis; choose another folder for --out.")
    device = choose_device(arguments.device)
    dtype = choose_dtype(arguments.precision, device)
    loaded = open_model(arguments.model, arguments.precision, arguments.device, arguments.download)
    where = f"{device_name(device)}, {str(dtype).removeprefix('torch.')}"
    numbers = read_json(out / "analysis.json") if (out / "analysis.json").exists() else {}
    make = {"attention": attention, "drop": drop, "time": timing, "density": density, "ablation": ablation}
    with ProgressBars() as progress:
        for done, name in enumerate(wanted):
            progress("figures", done, len(wanted))
            plots, found = make[name](arguments, loaded, out, where, progress)
            numbers[name] = {"conditions": where, "model": arguments.model} | found
            write_json(out / "analysis.json", numbers)
            for plot in plots:
                write_plot(plot, out)
                print(f"{out / plot.name}.svg: {plot.caption}")


def check(arguments: argparse.Namespace, wanted: Sequence[str]) -> None:
    """ValueError for what cannot be meant, before a model is read."""
    from ..nodes.sparsity import sparsity
    from ..scene.files import find_files

    for name in wanted:
        if name not in FIGURES:
            raise ValueError(f"There is no figure {name!r}; choose from {', '.join(FIGURES)}.")
    for name in arguments.sparsity if "time" in wanted else ():
        sparsity(method=name)
    if arguments.images:
        find_files(arguments.images[0] if len(arguments.images) == 1 else arguments.images)
    if arguments.drop and min(arguments.drop) < 0:
        raise ValueError(f"--drop counts layers, got {min(arguments.drop)}; give 0 or more.")


def attention(
    arguments: argparse.Namespace, loaded: Any, out: Path, where: str, progress: Any
) -> tuple[list, dict[str, Any]]:
    """Four figures of one scene."""
    import time

    import torch

    from ..evaluation.analysis import attention_figures as figures
    from ..evaluation.analysis.dropping import global_blocks

    images, scene = pictures(arguments, loaded)
    depth = len(global_blocks(loaded.model))
    layer = int(2 / 3 * depth) if arguments.layer is None else arguments.layer
    if not 0 <= layer < depth:
        raise ValueError(f"--layer must be from 0 to {depth - 1} for this model, got {layer}.")
    conditions = f"{arguments.model}, {scene}; {where}."
    started = time.perf_counter()
    gpu = next(loaded.model.parameters()).device.type == "cuda"
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    found, layout = figures.attention_statistics(loaded, images, arguments.query_blocks)
    seconds = time.perf_counter() - started
    patch = figures.best_patch(images, loaded.network.patch_size)
    plots = [
        figures.matrix_figure(found[layer], layout, layer, conditions),
        figures.patch_figure(loaded, images, patch, layer, conditions),
        figures.layers_figure(found, conditions),
        figures.mass_figure(found, conditions),
    ]
    kept = ("mean", "maximum", "mass", "best_mass", "pooled_mass", "queries", "tokens")
    rows = {str(number): {name: getattr(one, name) for name in kept} for number, one in found.items()}
    cost = {"seconds": seconds, "peak_memory_bytes": torch.cuda.max_memory_allocated() if gpu else None}
    return plots, {"scene": scene, "layers": rows} | cost


def drop(arguments: argparse.Namespace, loaded: Any, out: Path, where: str, progress: Any) -> tuple[list, dict]:
    """Accuracy without layers."""
    from ..evaluation.analysis.curve_figures import drop_figure
    from ..evaluation.analysis.dropping import PLACES, WithoutLayers, global_blocks

    depth = len(global_blocks(loaded.model))
    counts = sorted(set(arguments.drop or range(0, depth // 2 + 2, max(1, depth // 8))) | {0})
    methods = [WithoutLayers(loaded, place, count) for place in PLACES for count in counts]
    found, conditions = accuracies(arguments, methods, out / "runs" / "drop", where, progress)
    return [drop_figure(found, loaded.name, depth, counts, conditions)], {"methods": found}


def density(arguments: argparse.Namespace, loaded: Any, out: Path, where: str, progress: Any) -> tuple[list, dict]:
    """Accuracy against density by rule."""
    from ..evaluation.analysis.curve_figures import curve_figure
    from ..evaluation.analysis.sweeps import dense, rule_curves

    curves, start = rule_curves(loaded), dense(loaded)
    methods = [start, *(method for curve in curves for method in curve.methods)]
    found, conditions = accuracies(arguments, methods, out / "runs" / "density", where, progress)
    what = "Accuracy against density for several rules of selection; random blocks are the control."
    return [curve_figure(curves, start.name, found, "accuracy-by-rule", what, conditions)], {"methods": found}


def ablation(arguments: argparse.Namespace, loaded: Any, out: Path, where: str, progress: Any) -> tuple[list, dict]:
    """Accuracy against density by pooling and by size of blocks."""
    from ..evaluation.analysis.curve_figures import curve_figure
    from ..evaluation.analysis.sweeps import dense, pooling_curves, size_curves

    start = dense(loaded)
    pooling, sizes = pooling_curves(loaded), size_curves(loaded)
    methods = [start, *(method for curve in (*pooling, *sizes) for method in curve.methods)]
    found, conditions = accuracies(arguments, methods, out / "runs" / "ablation", where, progress)
    what = (
        "Accuracy against density by what stands for a block when it is scored; the paper's rule with its blocks of "
        "128 x 64 tokens, ours with its own of 64 x 32 (key blocks are halved for small frames)."
    )
    sizes_what = "Accuracy against density of the paper's rule by size of blocks (queries x keys)."
    plots = [
        curve_figure(pooling, start.name, found, "ablation-pooling", what, conditions),
        curve_figure(sizes, start.name, found, "ablation-block-size", sizes_what, conditions),
    ]
    return plots, {"methods": found}


def timing(arguments: argparse.Namespace, loaded: Any, out: Path, where: str, progress: Any) -> tuple[list, dict]:
    """Seconds by part."""
    from ..evaluation.analysis.curve_figures import time_figure
    from ..evaluation.analysis.timing import time_passes
    from ..models.sparse import BlockSparse
    from ..nodes.sparsity import sparsity

    size = (arguments.size, arguments.size)
    passes = {}
    for setting in arguments.sparsity:
        config = sparsity(method=setting, min_tokens=0)
        chosen = None if setting == "dense" else BlockSparse(config)
        passes[setting] = time_passes(loaded, sorted(arguments.time_frames), size, chosen, arguments.repeats, progress)
    if not all(passes.values()):
        raise ValueError("Not even the shortest input fits into memory; give fewer --time-frames or a smaller --size.")
    conditions = f"{arguments.model}, {size[1]} x {size[0]} px, {arguments.repeats} passes each; {where}."
    rows = {name: [vars(one) for one in found] for name, found in passes.items()}
    return [time_figure(passes, conditions)], {"passes": rows, "size": list(size)}


def accuracies(
    arguments: argparse.Namespace, methods: Sequence[Any], folder: Path, where: str, progress: Any
) -> tuple[dict[str, Any], str]:
    """Summaries of methods on the synthetic benchmark, and the conditions for captions."""
    from ..evaluation.analysis.curve_figures import summaries
    from ..evaluation.datasets.synthetic import Synthetic
    from ..evaluation.results import collect
    from ..evaluation.run import RunOptions, run_benchmark
    from ..evaluation.store import RunFolder

    side = (arguments.size, arguments.size)
    benchmark = Synthetic(arguments.frames, arguments.scenes, side, methods[0].device)
    kept = RunFolder(folder)
    kept.begin({"benchmark": benchmark.name, "size": side, "methods": {m.name: m.settings() for m in methods}})
    run_benchmark(
        benchmark, methods, kept, RunOptions(keep_maps=False, workers=arguments.workers, warm_up=False), progress
    )
    found = summaries(collect(kept, [benchmark], methods, {})["benchmarks"][0])
    conditions = (
        f"{methods[0].loaded.name}, {arguments.scenes} synthetic scenes of {arguments.frames} frames, "
        f"{side[1]} x {side[0]} px; {where}."
    )
    return found, conditions


def pictures(arguments: argparse.Namespace, loaded: Any) -> tuple[Any, str]:
    """Images (N, 3, H, W) to look at, and what they are."""
    if arguments.images:
        from ..nodes.load_images import load_images
        from ..scene.pixels import to_pixels

        source = arguments.images[0] if len(arguments.images) == 1 else arguments.images
        found = load_images(source, model=loaded, limit=arguments.frames)
        images = to_pixels(found.images)
        return images, f"{len(images)} frames of {images.shape[3]} x {images.shape[2]} px"
    from ..evaluation.datasets.synthetic import Synthetic

    seed = 1_000_002 if arguments.scene is None else arguments.scene
    device = next(loaded.model.parameters()).device
    side = (arguments.size, arguments.size)
    images = Synthetic(arguments.frames, 1, side, device).load(str(seed)).images
    return images, f"{len(images)} frames of {side[1]} x {side[0]} px, synthetic scene {seed}"


def device_name(device: Any) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def whole(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)
