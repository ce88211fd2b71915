"""Photos, a folder of photos or a video -> a coloured point cloud with cameras and depth maps.

INPUT is a folder, a file, a pattern such as "photos/*.jpg", or a video. The files go into output/<name of the input>;
when that folder is there already, into output/<name>-2 and so on. A folder named with --out must be new or empty,
unless --overwrite is given, which replaces files of the same name and leaves all others alone.

  python . reconstruct photos --model vggt-1b --gpus 2                    one scene over two GPUs of this machine
  torchrun --nproc-per-node 2 . reconstruct photos --model vggt-1b        the same

Exit codes: 0 done, 1 failed, 2 bad input, 130 stopped with Ctrl-C.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ..nodes import parameters
from ._options import NO_KERNELS, add_options, chosen
from ._output import output_folder, taken_folder

if TYPE_CHECKING:
    from ..models.progress import Progress
    from ..models.sparse import SparsityConfig
    from ..scene.reconstruction import Reconstruction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, from the tables the node graph uses as well."""
    parser.add_argument("input", nargs="+", metavar="INPUT", help="photos: a folder, files, a pattern, or a video")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the results (default: output/<input>)")
    parser.add_argument("--overwrite", action="store_true", help="replace files of the same name in --out")
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=list(parameters.EXPORT_FORMATS),
        default=list(parameters.EXPORT_FORMATS),
        metavar="FORMAT",
        help=f"what to write, of {', '.join(parameters.EXPORT_FORMATS)} (default: all)",
    )
    parser.add_argument("--no-kernels", action="store_true", help=NO_KERNELS)
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="split the scene over N GPUs (default: 1)")
    add_options(parser, "images", parameters.LOAD_IMAGES)
    add_options(parser, "model", parameters.LOAD_MODEL)
    add_options(parser, "sparsity", parameters.SPARSITY)
    add_options(parser, "reconstruction", parameters.RECONSTRUCT)
    add_options(parser, "point cloud", parameters.POINT_CLOUD)
    add_options(parser, "files", parameters.EXPORT)


def run(arguments: argparse.Namespace) -> int | None:
    """Read, reconstruct, write and report, in this process or in one for each GPU."""
    from ._ranks import among_ranks, check_devices, own_command, run_ranks

    if among_ranks():
        from ..models.parallel import process_group
        from ..nodes.load_model import choose_device

        with process_group(choose_device(arguments.device)) as device:
            arguments.device = str(device)
            return photos_to_files(arguments, split=True)
    if arguments.gpus == 1:
        return photos_to_files(arguments)
    output_folder(arguments.input, arguments.out, arguments.overwrite)
    check_devices(arguments.gpus, arguments.device)
    return run_ranks(own_command(arguments.argv), arguments.gpus)


def photos_to_files(arguments: argparse.Namespace, split: bool = False) -> int | None:
    """The whole way; with `split` as one of several processes, of which the first one writes and reports.

    Everything that can be known before is checked before the network runs.
    """
    started = time.perf_counter()
    from ..models.gpu_kernels import allow_kernels
    from ..models.parallel import is_first
    from ..nodes.point_cloud import parse_frames
    from ..nodes.sparsity import sparsity
    from ..scene.files import find_files
    from ._progress_bars import ProgressBars

    first = is_first()
    if first:
        output_folder(arguments.input, arguments.out, arguments.overwrite)
    seconds = {"start": time.perf_counter() - started}
    allow_kernels(not arguments.no_kernels)
    source = arguments.input[0] if len(arguments.input) == 1 else arguments.input
    find_files(source)  # what is wrong is told before the long work
    parse_frames(arguments.frames)
    chosen_sparsity = sparsity(**chosen(arguments, parameters.SPARSITY))
    place = taken_folder(arguments.input, arguments.out, arguments.overwrite) if first else nullcontext((None, False))
    with place as (folder, replace):
        with ProgressBars() if first else nullcontext() as progress:
            scene = scene_of(arguments, source, chosen_sparsity, folder, split, seconds, progress)
            if scene is None:  # the first process has it
                return None
            written = write(arguments, scene, folder, replace, seconds, progress)
        return tell(scene, folder, seconds, *written)


def scene_of(
    arguments: argparse.Namespace,
    source: str | list[str],
    sparsity: "SparsityConfig | None",
    folder: Path | None,
    split: bool,
    seconds: dict[str, float],
    progress: "Progress | None",
) -> "Reconstruction | None":
    """What the network finds in the images; None in all processes but the first."""
    from ..models.parallel import FrameParallel
    from ..nodes.export import check_space
    from ..nodes.load_images import load_images
    from ..nodes.load_model import load_model
    from ..nodes.point_cloud import parse_frames
    from ..nodes.reconstruct import reconstruct
    from ..scene.pointcloud import check_frames

    with timed(seconds, "model"):
        model = load_model(**chosen(arguments, parameters.LOAD_MODEL), progress=progress)
    with timed(seconds, "images"):
        images = load_images(source, model=model, **chosen(arguments, parameters.LOAD_IMAGES), progress=progress)
    check_frames(parse_frames(arguments.frames), len(images))
    if folder is not None:
        check_space(images, folder, arguments.formats)
    options = chosen(arguments, parameters.RECONSTRUCT)
    parallel = FrameParallel(len(images)) if split else None
    return reconstruct(model, images, sparsity=sparsity, **options, parallel=parallel, progress=progress)


def write(
    arguments: argparse.Namespace,
    scene: "Reconstruction",
    folder: Path,
    overwrite: bool,
    seconds: dict[str, float],
    progress: "Progress | None",
) -> tuple[list[Path], list[str], int]:
    """The files, a sentence for each format that could not be written, and how many points there are."""
    from ..nodes.export import WITHOUT_POINTS, IncompleteExport, export
    from ..nodes.point_cloud import point_cloud
    from . import describe

    seconds |= scene.timings
    formats, failures = arguments.formats, []
    with timed(seconds, "point cloud"):
        try:
            cloud = point_cloud(scene, **chosen(arguments, parameters.POINT_CLOUD), progress=progress)
        except (MemoryError, RuntimeError) as error:  # the scene is there, and some files need no points
            formats = [name for name in formats if name in WITHOUT_POINTS]
            if not formats:
                raise
            cloud, failures = None, [f"The points could not be made: {describe(error)}"]
    points = 0 if cloud is None else len(cloud)
    with timed(seconds, "files"):
        options = chosen(arguments, parameters.EXPORT)
        try:
            files = export(scene, cloud, folder, formats, **options, overwrite=overwrite, progress=progress)
        except IncompleteExport as error:
            return error.files, [*failures, *error.sentences], points
    return files, failures, points


def tell(
    scene: "Reconstruction",
    folder: Path,
    seconds: dict[str, float],
    files: list[Path],
    failures: list[str],
    points: int,
) -> int:
    """Print what was done; the exit code."""
    from ..nodes.report import report_text

    scene.timings = seconds
    if not points:
        print("note: no point is left; lower --confidence-percentile or --confidence-threshold, or look at the masks.")
    print(f"\n{report_text(scene)}\npoints: {points:,}\n\n{len(files)} files in {folder}:")
    for line in summary_of(files, folder):
        print("  " + line)
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Note how long the block takes."""
    started = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - started


def summary_of(files: list[Path], folder: Path) -> list[str]:
    """One line a file, or one line a folder that holds many alike."""
    groups: dict[tuple[Path, str], list[Path]] = {}
    for file in files:
        groups.setdefault((file.relative_to(folder).parent, file.suffix), []).append(file)
    lines = []
    for (parent, suffix), group in groups.items():
        if len(group) > 4:
            lines.append(f"{parent / ('*' + suffix)!s:40} {size_text(group)} in {len(group)} files")
        else:
            lines += [f"{file.relative_to(folder)!s:40} {size_text([file])}" for file in group]
    return lines


def size_text(files: list[Path]) -> str:
    """Their size together."""
    size = sum(file.stat().st_size for file in files)
    return f"{size / 1e6:8.2f} MB" if size >= 1e5 else f"{size / 1e3:8.2f} kB"
