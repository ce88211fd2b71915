"""Whole forward passes for the benchmark command: options, and what is done with them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

FRAMES = (1, 10, 50, 100, 200, 500, 1000)
CAPS_GIB = (8.0, 12.0, 16.0, 24.0, 48.0, 80.0)
OUTPUTS = ("camera", "depth", "points")
DEFAULT_SETTINGS, DEFAULT_MEMORY_SETTINGS = ("dense", "balanced"), ("fast",)


def add_forward_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subjects forward and memory."""
    group = parser.add_argument_group("forward and memory")
    group.add_argument(
        "--model",
        default="random-vggt-1b",
        help="a name, a file, random-vggt-1b or random-pi3 (default: random-vggt-1b)",
    )
    group.add_argument(
        "--image-sizes", type=size, nargs="+", default=[(518, 518)], metavar="HxW", help="pixels (default: 518x518)"
    )
    group.add_argument(
        "--outputs", nargs="+", choices=OUTPUTS, help="heads of VGGT that run (default: camera depth points, if there)"
    )
    group.add_argument(
        "--min-tokens", type=int, metavar="N", help="be dense below N tokens (default: as the setting says)"
    )
    group.add_argument("--backend", default="auto", help="of sparse attention: auto, triton, torch ... (default: auto)")
    group.add_argument("--frame-chunk", type=int, metavar="N", help="frames that encoder and heads take at a time")
    group.add_argument(
        "--heads-in",
        choices=("float32", "bfloat16", "float16"),
        default="float32",
        help="number format of VGGT's depth and point heads beside the weights' (default: float32, as published)",
    )
    group.add_argument("--offload", action="store_true", help="images and results lie in the processor's memory")
    group.add_argument("--maps-on-cpu", action="store_true", help="so does what VGGT's dense heads will read")
    group.add_argument(
        "--peers",
        nargs="+",
        default=[],
        metavar="KIND=FOLDER[,OPTION=VALUE]",
        help="public code with the same weights: vggt, fastvggt, sparse-vggt, pi3 or sparse-pi3 out of a checkout",
    )
    group.add_argument(
        "--limit-s",
        type=float,
        default=60.0,
        metavar="S",
        help="leave out what is longer than a pass of S (default: 60)",
    )
    group.add_argument("--no-parts", action="store_true", help="do not time the parts (one pass less)")
    group.add_argument(
        "--memory-caps",
        type=float,
        nargs="+",
        metavar="GIB",
        help="for memory (default: 8 12 16 24 48 80); adds that subject",
    )
    group.add_argument(
        "--most-frames",
        type=int,
        default=1000,
        metavar="N",
        help="memory tries no more frames than that (default: 1000)",
    )
    group.add_argument(
        "--add", type=Path, nargs="+", default=[], metavar="JSON", help="take rows of earlier runs as they are"
    )
    group.add_argument("--compare", type=Path, metavar="JSON", help="print old and new seconds of the rows of a report")


class ForwardBenchmark:
    """The model, the settings and the rows so far; wrong options are a ValueError before anything is measured."""

    def __init__(self, arguments: argparse.Namespace, device: Any, dtype: Any, report: dict[str, Any]) -> None:
        from ..evaluation.methods.public import parse_public
        from ..models.networks import Workload
        from ._model import open_model

        self.arguments, self.device, self.report = arguments, device, report
        self.precision = str(dtype).removeprefix("torch.")
        chunk = 1 if arguments.frame_chunk is None else arguments.frame_chunk
        if min(chunk, arguments.most_frames) < 1 or arguments.limit_s <= 0:
            raise ValueError("--frame-chunk and --most-frames must be at least 1, and --limit-s above 0.")
        if arguments.memory_caps and min(arguments.memory_caps) <= 0:
            raise ValueError("--memory-caps must be above 0.")
        self.settings = self._settings(DEFAULT_SETTINGS)
        self.peers = [parse_public(text) for text in arguments.peers]
        self.old = None if arguments.compare is None else earlier(arguments.compare)
        self.known = [earlier(path) for path in arguments.add]
        self.loaded = open_model(arguments.model, arguments.precision, arguments.device)
        self.outputs = self._outputs()
        self._check_sizes()
        self.tokens_per_frame = {each: self.loaded.network.tokens(Workload(1, *each)) for each in arguments.image_sizes}
        self._check_peers()
        self._check_known()

    def measure(self, save: Callable[[], None], progress: Any) -> None:
        """All rows; each is saved and told as soon as it is there. The model is let go for the public code."""
        from tqdm import tqdm

        from ..evaluation.speed.forward import Maker, Plan, measure_forward
        from ..evaluation.speed.forward_tables import key, row_text
        from ..evaluation.speed.roofline import PEAKS

        arguments = self.arguments
        peak = PEAKS.get(self.report["machine"]["device"])
        plan = Plan(
            list(dict.fromkeys(arguments.frames or FRAMES)),
            list(dict.fromkeys(arguments.image_sizes)),
            arguments.repeats or 3,
            arguments.limit_s,
            not arguments.no_parts,
            peak,
        )
        common = self._common()
        known = {key(row): row for report in self.known for row in report["forward"] if "seconds" in row}
        makers = [Maker(name, lambda n=name: self._ours(n)) for name in self.settings]
        makers += self._peer_makers()
        self.report["peak"] = None if peak is None else vars(peak)
        rows = self.report["forward"] = []
        for row in measure_forward(makers, plan, self.device, progress, lambda row: known.get(key(common | row))):
            rows.append(common | self._tokens(row) | row)
            save()
            tqdm.write(row_text(row))

    def capacity(self, save: Callable[[], None], progress: Any) -> None:
        """Frames that fit, for every setting."""
        from tqdm import tqdm

        from ..evaluation.speed.capacity import measure_capacity
        from ..evaluation.speed.forward_tables import capacity_table

        arguments, rows = self.arguments, []
        self.report["memory"] = rows
        sizes = list(dict.fromkeys(arguments.image_sizes))
        self.settings = self._settings(DEFAULT_MEMORY_SETTINGS)
        for name in self.settings:
            caps = arguments.memory_caps or CAPS_GIB
            for row in measure_capacity(self._ours(name), sizes, caps, arguments.most_frames, self.device, progress):
                rows.append(self._common() | row)
                save()
                tqdm.write(capacity_table([row]).splitlines()[-1])

    def finish(self) -> None:
        """Figures into OUT, tables to the terminal, of what was measured so far."""
        from ..evaluation.speed.forward_figures import forward_figures
        from ..evaluation.speed.forward_tables import capacity_table, comparison, forward_table
        from ..evaluation.style import write_plot

        if rows := self.report.get("forward"):
            for plot in forward_figures(rows, self._conditions()):
                write_plot(plot, self.arguments.out)
            print(f"\n{forward_table(rows)}\n\n{self._conditions()}")
            if self.old is not None:
                print(f"\nagainst {self.arguments.compare}\n{comparison(self.old, self.report)}")
        if rows := self.report.get("memory"):
            print(f"\n{capacity_table(rows)}")

    def _settings(self, default: tuple[str, ...]) -> dict[str, Any]:
        arguments = self.arguments
        return dict(setting(text, arguments.min_tokens) for text in arguments.sparsity or default)

    def _ours(self, name: str) -> Any:
        import torch

        from ..evaluation.speed.contenders import OurForward
        from ._model import open_model

        arguments, choice = self.arguments, self.settings[name]
        if self.loaded is None:
            self.loaded = open_model(arguments.model, arguments.precision, arguments.device)
        half = None if arguments.heads_in == "float32" else getattr(torch, arguments.heads_in)
        return OurForward(
            self.loaded,
            name,
            choice,
            self.outputs,
            backend=arguments.backend,
            frame_chunk=arguments.frame_chunk,
            head_dtype=half,
            offload=arguments.offload,
            maps_on_cpu=arguments.maps_on_cpu,
        )

    def _peer_makers(self) -> list[Any]:
        from ..evaluation.methods.public import name_of
        from ..evaluation.speed.contenders import PublicForward, filler
        from ..evaluation.speed.forward import Maker

        fill = filler(self.arguments.model, self.loaded, self.device)

        def make(choice: Any) -> Any:
            self.loaded = None
            return PublicForward(choice, self.device, self.precision, self.outputs, fill)

        return [Maker(name_of(choice), lambda c=choice: make(c)) for choice in self.peers]

    def _common(self) -> dict[str, Any]:
        return {"model": self.arguments.model, "precision": self.precision, "outputs": list(self.outputs)}

    def _tokens(self, row: dict[str, Any]) -> dict[str, int]:
        per_frame = self.tokens_per_frame.get((row.get("height"), row.get("width")))
        return {} if per_frame is None else {"tokens": row["frames"] * per_frame}

    def _conditions(self) -> str:
        machine, arguments = self.report["machine"], self.arguments
        return (
            f"{arguments.model}, {self.precision}, outputs {', '.join(self.outputs)}; {machine['device']}, PyTorch "
            f"{machine['torch']}; median of up to {arguments.repeats or 3} passes after 1 to warm up."
        )

    def _outputs(self) -> tuple[str, ...]:
        network, asked = self.loaded.network, self.arguments.outputs
        name, there = self.arguments.model, network.outputs
        if asked and not network.can_choose_outputs:
            raise ValueError(f"{name} has no --outputs to choose from: all its heads run; leave that out.")
        if self.arguments.maps_on_cpu and not network.keeps_maps:
            raise ValueError(f"--maps-on-cpu does nothing for {name}: its heads read one layer; leave that out.")
        if lacking := sorted(set(asked or ()) - set(there)):
            raise ValueError(f"{name} has no head for {', '.join(lacking)}; it has {', '.join(there)}.")
        return tuple(each for each in there if each in asked) if asked else there

    def _check_sizes(self) -> None:
        patch = self.loaded.network.patch_size
        for height, width in self.arguments.image_sizes:
            if height % patch or width % patch:
                raise ValueError(f"--image-sizes must be multiples of {patch} pixels, got {height}x{width}.")

    def _check_peers(self) -> None:
        for peer in self.peers:
            if peer.weights is not None:
                raise ValueError(f"Peers take the weights of --model; leave out {peer.weights}.")
            if not peer.folder.is_dir():
                raise FileNotFoundError(f"{peer.folder} is not there; give the folder of the checkout.")
            if peer.family != self.loaded.family:
                raise ValueError(
                    f"The peer {peer.kind} is another network than {self.arguments.model}; choose one --model."
                )
            if self.precision == "float16":
                raise ValueError("Public code runs in bfloat16 or float32; choose one of these with --precision.")

    def _check_known(self) -> None:
        for path, report in zip(self.arguments.add, self.known, strict=True):
            for name in ("device", "torch"):
                was, now = report["machine"].get(name), self.report["machine"][name]
                if was != now:
                    raise ValueError(
                        f"The rows of {path} are from another {name} ({was}, here {now}); measure them anew."
                    )


def setting(text: str, min_tokens: int | None) -> tuple[str, Any]:
    """A name and its sparsity: a preset, keep-N (the paper's rule, N % of the blocks) or a JSON file; dense is None."""
    from dataclasses import replace

    from ..models.sparse import SparsityConfig
    from ..nodes.sparsity import sparsity

    if text == "dense":
        return text, None
    if text.startswith("keep-"):
        number = text.removeprefix("keep-")
        if not number.isdigit() or not 1 <= int(number) <= 100:
            raise ValueError(f"keep-N keeps N percent of the key blocks, 1 to 100, got {text!r}.")
        return text, replace(SparsityConfig(rho=(100 - int(number)) / 100), min_tokens=min_tokens or 0)
    if text.endswith(".json"):
        return Path(text).stem, sparsity(method="file", schedule=text, min_tokens=min_tokens)
    return text, sparsity(method=text, min_tokens=min_tokens)


def size(text: str) -> tuple[int, int]:
    """ "392x518" -> height 392, width 518."""
    numbers = text.lower().split("x")
    if len(numbers) != 2 or not all(number.isdigit() and int(number) for number in numbers):
        raise argparse.ArgumentTypeError(f"a size is HxW in pixels, such as 392x518; got {text}")
    return int(numbers[0]), int(numbers[1])


def earlier(path: Path) -> dict[str, Any]:
    """A report of this command that has forward rows."""
    from ..evaluation.store import read_json

    try:
        report = read_json(path)
        found = isinstance(report["machine"], dict) and all(isinstance(row, dict) for row in report["forward"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no benchmark.json with forward rows ({error}).") from error
    if not found:
        raise ValueError(f"{path} is no benchmark.json with forward rows.")
    return report
