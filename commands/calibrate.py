"""Find out which global layers of a model can do with fewer key blocks, and save the schedule as JSON.

Needs no ground truth: every layer is made sparse by itself on a few scenes, and the result compared with that of dense
attention. Takes three passes for each layer and scene. Scenes are rendered, or your own: --images takes a folder, a
video or a pattern for each scene.

  python . calibrate --model mini --keep 0.15 --out mini.json
  python . reconstruct photos/ --model mini --method file --schedule mini.json
  python . evaluate --model mini --sparsity dense balanced mini.json
"""

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="mini", help="a name or a file of weights (default: mini)")
    parser.add_argument("--download", action="store_true", help="fetch the weights of a named model that are not here")
    parser.add_argument("--keep", type=float, default=0.15, help="mean share of key blocks to keep (default: 0.15)")
    parser.add_argument("--base", default="balanced", help="the preset whose rule is calibrated (default: balanced)")
    parser.add_argument("--images", nargs="+", metavar="PATH", help="scenes of your own (default: rendered ones)")
    parser.add_argument("--scenes", type=int, default=4, metavar="N", help="rendered scenes (default: 4)")
    parser.add_argument("--frames", type=int, default=24, metavar="N", help="frames of a scene (default: 24)")
    parser.add_argument("--size", type=int, default=224, metavar="PX", help="side of rendered images (default: 224)")
    parser.add_argument("--first-seed", type=int, default=3_000_000, metavar="SEED", help="(default: 3000000)")
    parser.add_argument("--device", default="auto", help="cpu, cuda ... (default: auto)")
    parser.add_argument("--precision", default="auto", help="float32, bfloat16, float16 or auto (default: auto)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new JSON file")


def run(arguments: argparse.Namespace) -> None:
    """Measure, deal out the budget, write, print."""
    from ..evaluation.calibration import calibrate
    from ..evaluation.methods.manyview import ManyViewMethod
    from ..evaluation.store import write_json
    from ..models.sparse import preset
    from ..nodes.load_model import load_model
    from ..scene.files import find_files
    from ._progress_bars import ProgressBars

    if arguments.out.exists():
        raise FileExistsError(f"{arguments.out} exists; choose another file for --out.")
    if not 0 < arguments.keep < 1:
        raise ValueError(f"--keep is the share of key blocks to keep, between 0 and 1; got {arguments.keep:g}.")
    if min(arguments.scenes, arguments.frames) < 1:
        raise ValueError(f"--scenes and --frames must be at least 1, got {arguments.scenes} and {arguments.frames}.")
    base = preset(arguments.base)
    if not base.own:
        raise ValueError(
            f"Only ManyView's own rule can be calibrated, not {arguments.base}; take quality, balanced, fast or long."
        )
    rendered = None if arguments.images else rendered_scenes(arguments)
    for path in arguments.images or ():
        find_files(path)  # a scene that is not there is an error before the model is read
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    loaded = load_model(
        arguments.model, precision=arguments.precision, device=arguments.device, download=arguments.download
    )
    layers = loaded.network.global_layers
    with ProgressBars() as progress:
        scenes = scene_images(arguments, rendered, loaded, progress)

        def predict(config: Any) -> list:
            return [ManyViewMethod(loaded, "calibrated", config).predict(images) for images in scenes]

        found = calibrate(predict, layers, base, arguments.keep, progress=progress)
    report = {
        "sparsity": found.config.to_dict(),
        "model": loaded.name,
        "keep": arguments.keep,
        "scenes": arguments.images or f"{arguments.scenes} rendered from seed {arguments.first_seed}",
        "frames": [len(images) for images in scenes],
        "probed_keeps": list(found.keeps),
        "deviations": found.deviations.round(6).tolist(),
    }
    write_json(arguments.out, report)
    print("layer  " + "".join(f"{f'{100 * keep:g} %':>9}" for keep in found.keeps) + "   share kept")
    for layer, (row, share) in enumerate(zip(found.deviations, found.shares, strict=True)):
        print(f"{layer:5}  " + "".join(f"{value:9.4f}" for value in row) + f"   {100 * share:6.1f} %")
    print(f"\nwritten to {arguments.out}; use it with --method file --schedule {arguments.out}")


def rendered_scenes(arguments: argparse.Namespace) -> Any:
    """The scenes that are rendered; ValueError for numbers that cannot be."""
    from ..evaluation.datasets.synthetic import Synthetic
    from ..nodes.load_model import choose_device

    size = (arguments.size, arguments.size)
    device = choose_device(arguments.device)
    return Synthetic(arguments.frames, arguments.scenes, size, device, first_seed=arguments.first_seed)


def scene_images(arguments: argparse.Namespace, rendered: Any, loaded: Any, progress: Any) -> list:
    """Images (N, 3, H, W) in [0, 1] of every scene."""
    import sys

    from ..nodes.load_images import load_images
    from ..scene.pixels import to_pixels

    if rendered is not None:
        return [rendered.load(name).images for name in rendered.scenes()]
    limits = {"limit": arguments.frames, "selection": "even"}
    scenes = []
    for path in arguments.images:
        views = load_images(path, model=loaded, **limits, progress=progress)
        for note in views.notes:
            print(note, file=sys.stderr)
        scenes.append(to_pixels(views.images))
    return scenes
