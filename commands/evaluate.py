"""Measure a model on rendered scenes with fixed seeds (no download needed).

Prints pose accuracy (AUC of the larger of rotation and translation-direction error over all pairs of frames) and depth
accuracy (AbsRel and delta < 1.25 after one scale for the whole scene), and writes them as JSON with --out.
"""

import argparse
from pathlib import Path

COLUMNS = ("auc_3", "auc_5", "auc_15", "auc_30", "rotation_median_deg", "translation_median_deg", "abs_rel", "delta_1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="mini", help="a name or a file of weights (default: mini)")
    parser.add_argument("--scenes", type=int, default=64, help="number of scenes (default: 64)")
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 24], help="frames a scene (default: 8 24)")
    parser.add_argument("--size", type=int, default=224, help="side of the square images in pixels (default: 224)")
    parser.add_argument("--device", default="auto", help="cpu, cuda ... (default: auto)")
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file")


def run(arguments: argparse.Namespace) -> None:
    import json
    import platform
    import sys
    import time

    import torch
    from tqdm import tqdm

    from ..evaluation.synthetic import FIRST_SEED, evaluate_synthetic
    from ..nodes.load_model import load_model

    if arguments.out is not None and arguments.out.exists():
        raise FileExistsError(f"{arguments.out} exists; choose another file for --out.")
    if min(arguments.scenes, *arguments.frames) < 1:
        raise ValueError(f"--scenes and --frames must be at least 1, got {arguments.scenes} and {arguments.frames}.")
    loaded = load_model(arguments.model, precision="float32", device=arguments.device)
    device = next(loaded.model.parameters()).device
    if loaded.family != "vggt":
        raise ValueError(f"Only models of the VGGT kind can be evaluated so far, {arguments.model} is {loaded.family}.")
    results = []
    print(f"{'frames':>6} " + " ".join(f"{name.removesuffix('_deg'):>18}" for name in COLUMNS))
    for frames in arguments.frames:
        start = time.monotonic()
        with tqdm(total=arguments.scenes, desc=f"{frames} frames", leave=False, disable=None) as bar:
            accuracy = evaluate_synthetic(
                loaded.model,
                scenes=arguments.scenes,
                frames=frames,
                size=(arguments.size, arguments.size),
                progress=lambda stage, done, total, bar=bar: bar.update(done - bar.n),
            )
        print(f"{frames:>6} " + " ".join(f"{accuracy[name]:>18.2f}" for name in COLUMNS), flush=True)
        results.append({"frames": frames, "seconds": round(time.monotonic() - start, 1)} | accuracy)
    if arguments.out is None:
        return
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    report = {
        "command": "python . " + " ".join(sys.argv[1:]),
        "device": name,
        "torch": torch.__version__,
        "dtype": "float32",
        "model": loaded.name,
        "scenes": arguments.scenes,
        "size": arguments.size,
        "first_seed": FIRST_SEED,
        "results": results,
    }
    arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
