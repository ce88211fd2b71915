"""Runs a ComfyUI workflow without ComfyUI: reads, checks and runs it, and lists the files that it wrote.

FILE is what ComfyUI's page or its Export (API) saved, or a PNG or GLB that carries a workflow. Nodes of ManyView and
the few core nodes that they need can run; others are listed, and then nothing is run. Files are read from --input
and written to --out alone.

  python . run "example_workflows/1 Quick Start.json"
  python . run mine.json --input . --set "load images.source=photos" --set sparsity.method=fast --out results
  python . run mine.json --list

Exit codes: 0 done, 1 failed, 2 bad input, 130 stopped with Ctrl-C.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._options import positive
from .reconstruct import summary_of

if TYPE_CHECKING:
    from ..nodes.graph.host import FolderHost
    from ..workflows.definitions import Kinds
    from ..workflows.graph import Graph
    from ..workflows.runner import Done


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file, the folders, and what to set in the graph."""
    parser.add_argument(
        "workflow", type=Path, metavar="FILE", help="a workflow: .json, or a .png or .glb with one in it"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="assignments",
        metavar="NODE.FIELD=VALUE",
        help="set an input; NODE is an id, a title or a name such as 'load images' (--list shows them all)",
    )
    parser.add_argument(
        "--input", type=Path, metavar="DIR", help="folder for what is read (default: input, if it is there)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("output"), metavar="DIR", help="folder for what is written (default: output)"
    )
    parser.add_argument(
        "--models", type=Path, metavar="DIR", help="folder of weights (default: ~/.cache/manyview/models)"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda ... (default: auto)")
    parser.add_argument(
        "--max-image-gib",
        type=positive,
        default=1,
        metavar="N",
        help="memory for what ComfyUI's own image nodes make, in full size, in a run (default: 1)",
    )
    parser.add_argument("--previews", action="store_true", help="also write what preview nodes show, to OUT/previews")
    parser.add_argument("--list", action="store_true", help="only list the nodes, and the fields that --set takes")
    parser.add_argument("--check", action="store_true", help="only check the workflow")


def run(arguments: argparse.Namespace) -> int:
    """Read, check, run and report."""
    if not arguments.workflow.is_file():
        raise FileNotFoundError(f"There is no file {arguments.workflow}; name a workflow.")
    from ._output import check_place

    if not (arguments.list or arguments.check):
        check_place(arguments.out)
    input_folder(arguments.input)
    from ..workflows.definitions import kinds
    from ..workflows.reading import graph_of, read_file

    document = read_file(arguments.workflow)
    if arguments.list:
        found = kinds()
        print("\n".join(listing(graph_of(document, found), found)))
        return 0
    with tempfile.TemporaryDirectory(prefix="manyview_") as temporary:
        return run_document(document, arguments, Path(temporary))


def input_folder(given: Path | None) -> Path | None:
    """The folder named with --input, which must be there, else the folder input, if it is."""
    if given is None:
        return Path("input") if Path("input").is_dir() else None
    if not given.is_dir():
        raise FileNotFoundError(
            f"There is no folder {given}; name the folder that the workflow reads from with --input."
        )
    return given


def run_document(document: Any, arguments: argparse.Namespace, temporary: Path) -> int:
    """Check and run, and the exit code; `temporary` takes the files that nobody asked for."""
    from ..models.catalog import default_folder
    from ..nodes.graph.host import FolderHost
    from ..nodes.load_model import choose_device
    from ..workflows.changes import change
    from ..workflows.check import check
    from ..workflows.definitions import kinds
    from ..workflows.reading import graph_of
    from ..workflows.runner import Runner, Unfinished
    from ._output import check_folder
    from ._progress_bars import ProgressBars

    if not arguments.check:
        check_folder(arguments.out, overwrite=True)
    with ProgressBars() as bars:
        host = FolderHost(
            temporary,
            choose_device(arguments.device),
            on_progress=bars,
            input_folder=input_folder(arguments.input),
            output_folder=None if arguments.check else arguments.out,
            model_folder=arguments.models or default_folder(),
            most_image_bytes=arguments.max_image_gib * 2**30,
        )
        found = kinds(host)
        graph = change(graph_of(document, found), arguments.assignments, found)
        if arguments.check:
            check(graph, found)
            print(f"{arguments.workflow.name}: {len(graph)} nodes, nothing wrong.")
            return 0
        started, before = time.perf_counter(), set(files_below(host.output_folder))
        failures: Sequence[str] = ()
        try:
            done = Runner(host).run(graph, workflow=carried(document, arguments.assignments), found=found)
        except Unfinished as error:
            if not any(found[each.node.class_type].is_output_node for each in error.done.values()):
                raise
            done, failures = error.done, error.sentences
    print("\n".join(report(done.values(), found)))
    if arguments.previews:
        keep_previews(host, done.values())
    written = [path for path in files_below(host.output_folder) if path not in before]
    print(f"\n{len(written)} files in {arguments.out} after {time.perf_counter() - started:.1f} s")
    for line in summary_of(written, host.output_folder):
        print("  " + line)
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


def listing(graph: "Graph", found: "Kinds") -> Iterator[str]:
    """The nodes, and below each the fields that can be set with what they hold."""
    from ..workflows.changes import fields
    from ..workflows.graph import named

    for number, node in graph.items():
        kind = found.get(node.class_type)
        yield named(number, node, kind.shown if kind else None) + ("" if kind else ": can only run in ComfyUI")
        for each, value in fields(node, found):
            choices = f"   one of {', '.join(map(str, each.choices[:9]))}" if each.choices else ""
            yield f"    {each.name} = {json.dumps(value)}{choices}"


def report(done: Iterable["Done"], found: "Kinds") -> Iterator[str]:
    """A line for each node with its seconds, and what it has to say."""
    from ..workflows.graph import named

    for each in done:
        yield f"{named(each.number, each.node, found[each.node.class_type].shown):60} {each.seconds:7.2f} s"
        for text in each.ui.get("text", []):
            yield from (f"    {line}" for line in str(text).splitlines())


def carried(document: Any, assignments: list[str]) -> Any:
    """The editor's form for the metadata of files; none if it is no longer what was run."""
    is_editors = isinstance(document, dict) and "nodes" in document
    return document if is_editors and not assignments else None


def keep_previews(host: "FolderHost", done: Iterable["Done"]) -> None:
    """Copy what nodes showed from the temp folder to OUT/previews, named by node."""
    from ..nodes.graph.host import filled

    for each in done:
        for shown in each.ui.values():
            for place, entry in enumerate(shown):
                if isinstance(entry, dict) and entry.get("type") == "temp":
                    source = host.temp_folder / entry["subfolder"] / entry["filename"]
                    name = f"{each.number.replace(':', '_')}_{each.node.class_type}_{place}{source.suffix}"
                    with filled(host.output_place(f"previews/{Path(name).stem}", source.suffix)) as target:
                        shutil.copyfile(source, target)


def files_below(folder: Path) -> list[Path]:
    """All files of a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
