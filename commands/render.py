"""Render a synthetic scene: photos with true cameras and depth, to try the other commands on.

Writes frame_00.jpg ..., cameras.json (world_to_camera and intrinsics of every file) and depth.npz into a new folder.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--seed", type=int, default=0, help="which scene (default: 0)")
    parser.add_argument("--frames", type=int, default=12, help="number of photos (default: 12)")
    parser.add_argument("--size", type=int, nargs=2, default=[400, 300], metavar=("WIDTH", "HEIGHT"), help="in pixels")
    parser.add_argument("--device", default="cpu", help="cpu, cuda ... (default: cpu)")


def run(arguments: argparse.Namespace) -> None:
    from ._output import check_place

    check_place(arguments.out)
    from ..nodes.load_model import choose_device
    from ..training.sample import write_sample
    from ._progress_bars import ProgressBars

    width, height = arguments.size
    device = str(choose_device(arguments.device))
    options = {"seed": arguments.seed, "frames": arguments.frames, "size": (height, width), "device": device}
    with ProgressBars() as progress:
        write_sample(arguments.out, **options, progress=progress)
    print(f"{arguments.frames} photos, cameras.json and depth.npz written to {arguments.out}")
