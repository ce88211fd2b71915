"""Photos, a folder of photos or a video -> a coloured point cloud with cameras and depth maps.

INPUT is a folder, a file, a pattern such as "photos/*.jpg", or a video. The files go into output/<name of the input>;
when that folder is there already, into output/<name>-2 and so on. A folder named with --out must be new or empty,
unless --overwrite is given, which replaces files of the same name and leaves all others alone.

  python . reconstruct photos --model vggt-1b --gpus 2                    one scene over two GPUs of this machine
  torchrun --nproc-per-node 2 . reconstruct photos --model vggt-1b        the same

Exit codes: 0 done, 1 failed, 2 bad input, 130 stopped with Ctrl-C.
"""

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ..nodes import parameters
from ..texts.paths import is_there, named_path, pattern_of
from ._options import NO_KERNELS, add_options, chosen


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

    folder = output_folder(arguments.input, arguments.out, arguments.overwrite)
    if among_ranks():
        from ..models.parallel import process_group
        from ..nodes.load_model import choose_device

        with process_group(choose_device(arguments.device)) as device:
            arguments.device = str(device)
            return photos_to_files(arguments, folder, split=True)
    if arguments.gpus == 1:
        return photos_to_files(arguments, folder)
    check_devices(arguments.gpus, arguments.device)
    return run_ranks(own_command(arguments.argv), arguments.gpus)


def photos_to_files(arguments: argparse.Namespace, folder: Path, split: bool = False) -> None:
    """The whole way; with `split` as one of several processes, of which the first one writes and reports."""
    started = time.perf_counter()
    from ..models.gpu_kernels import allow_kernels
    from ..models.parallel import FrameParallel, is_first
    from ..nodes.export import export
    from ..nodes.load_images import load_images
    from ..nodes.load_model import load_model
    from ..nodes.point_cloud import parse_frames, point_cloud
    from ..nodes.reconstruct import reconstruct
    from ..nodes.report import report_text
    from ..nodes.sparsity import sparsity
    from ..scene.files import find_files
    from ..scene.pointcloud import check_frames
    from ._progress_bars import ProgressBars

    seconds = {"start": time.perf_counter() - started}
    allow_kernels(not arguments.no_kernels)
    source = arguments.input[0] if len(arguments.input) == 1 else arguments.input
    find_files(source)  # what is wrong is told before the long work
    frames = parse_frames(arguments.frames)
    chosen_sparsity = sparsity(**chosen(arguments, parameters.SPARSITY))
    with ProgressBars() if is_first() else nullcontext() as progress:
        with timed(seconds, "model"):
            model = load_model(**chosen(arguments, parameters.LOAD_MODEL), progress=progress)
        with timed(seconds, "images"):
            options = chosen(arguments, parameters.LOAD_IMAGES)
            images = load_images(source, model=model, **options, progress=progress)
        check_frames(frames, len(images))
        options = chosen(arguments, parameters.RECONSTRUCT)
        parallel = FrameParallel(len(images)) if split else None
        scene = reconstruct(model, images, sparsity=chosen_sparsity, **options, parallel=parallel, progress=progress)
        if scene is None:  # the first process has it
            return
        seconds |= scene.timings
        with timed(seconds, "point cloud"):
            cloud = point_cloud(scene, **chosen(arguments, parameters.POINT_CLOUD), progress=progress)
        with timed(seconds, "files"):
            options = chosen(arguments, parameters.EXPORT)
            formats, overwrite = arguments.formats, arguments.overwrite
            files = export(scene, cloud, folder, formats, **options, overwrite=overwrite, progress=progress)
    scene.timings = seconds
    if not len(cloud):
        print("note: no point is left; lower --confidence-percentile or --confidence-threshold, or look at the masks.")
    print(f"\n{report_text(scene)}\npoints: {len(cloud):,}\n\n{len(files)} files in {folder}:")
    for line in summary_of(files, folder):
        print("  " + line)


def output_folder(inputs: list[str], wanted: Path | None, overwrite: bool) -> Path:
    """The folder to write to, checked before the long work begins; it is made only when there is something to write."""
    if wanted is None:
        first = folder = Path("output") / result_name(inputs)
        count = 1
        while folder.is_file() or (holds_files(folder) and not overwrite):
            count += 1
            folder = first.with_name(f"{first.name}-{count}")
        return writable(folder)
    if holds_files(wanted) and not overwrite:
        raise FileExistsError(f"the folder {wanted} is not empty; name another with --out, or add --overwrite.")
    return writable(wanted)


def result_name(inputs: list[str]) -> str:
    """The name of a folder as it is, of a file without its ending; "scene" for several inputs and for patterns."""
    if len(inputs) > 1 or pattern_of(inputs[0]) is not None:
        return "scene"
    path = named_path(inputs[0])
    if not is_there(path):
        return "scene"  # what is missing is told when it is looked for
    path = path.resolve()
    return (path.name if path.is_dir() else path.stem) or "scene"


def writable(folder: Path) -> Path:
    """The folder itself; ValueError if it cannot be made or written to, as far as can be told without trying."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"--out {folder} cannot be: {there} is a file; name a folder.")
    if not os.access(there, os.W_OK):
        raise ValueError(f"nothing can be written to {there}; name another folder with --out.")
    return folder


def holds_files(folder: Path) -> bool:
    """True for a folder with anything in it."""
    return folder.is_dir() and any(folder.iterdir())


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
