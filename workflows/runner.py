"""Runs graphs with the functions of nodes/graph; results that nothing has changed are kept from run to run."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..nodes.graph.host import FolderHost, Host, Result
from ..nodes.graph.table import NODES
from ..texts.memory import is_out_of_memory, memory_sentence
from . import limits
from .api_form import write_api_form
from .check import check, order
from .core.table import CORE_NODES
from .definitions import Kinds, NodeKind, kinds
from .graph import Graph, Link, Node, named
from .problem import Cancelled, WorkflowError
from .results import Results

FUNCTIONS = {**CORE_NODES, **NODES}
Call = Callable[[str, Host, dict[str, Any]], Result]
"""call(class_type, host, inputs): runs one node; a program may do some of them elsewhere."""


@dataclass(frozen=True)
class Done:
    """A node that has run, or whose result was kept. outputs: for each output the list of its values."""

    number: str
    node: Node
    outputs: tuple[list[Any], ...]
    ui: dict[str, list]
    seconds: float
    kept: bool

    def value(self, output: int = 0) -> Any:
        """The one value of an output."""
        return self.outputs[output][0]


class Unfinished(WorkflowError):
    """Some of the last nodes of a graph failed; all others have run. done: what ran, by id."""

    def __init__(self, done: Mapping[str, Done], failures: Sequence[WorkflowError]) -> None:
        super().__init__(*(sentence for failure in failures for sentence in failure.sentences))
        self.done = done


def call_node(class_type: str, host: Host, inputs: dict[str, Any]) -> Result:
    """Run a node here."""
    return FUNCTIONS[class_type].run(host, **inputs)


@dataclass
class Runner:
    """Runs graphs on one host. `shared` holds results that several runners may use, for the classes in `sharing`."""

    host: FolderHost
    results: Results = field(default_factory=Results)
    shared: Results | None = None
    sharing: frozenset[str] = frozenset()
    call: Call = call_node
    calls_left: int = limits.CALLS  # of the run that goes on

    def run(
        self,
        graph: Graph,
        *,
        workflow: Mapping[str, Any] | None = None,
        on_start: Callable[[str, Node], None] | None = None,
        found: Kinds | None = None,
    ) -> dict[str, Done]:
        """Check the graph, then run its output nodes and what they need; what ran, by id.

        workflow: the editor's form, which saved files carry along beside the API's. on_start(id, node) is called
        before a node runs. WorkflowError names the node that failed; Cancelled comes from the host. Where a node fails
        for which no other waits, such as one that writes files, all others still run, and then Unfinished is raised.
        """
        found = kinds(self.host) if found is None else found
        graph = check(graph, found)
        self.host.image_bytes = 0
        self.calls_left = limits.CALLS
        self.host.metadata = {"prompt": write_api_form(graph)} | ({"workflow": workflow} if workflow else {})
        outputs = [number for number, node in graph.items() if found[node.class_type].is_output_node]
        done: dict[str, Done] = {}
        keys: dict[str, str] = {}
        failures: list[WorkflowError] = []
        awaited = {value.node for node in graph.values() for value in node.inputs.values() if isinstance(value, Link)}
        for number in order(graph, outputs):
            self.host.check_cancelled()
            node = graph[number]
            keys[number] = self._key(number, node, found[node.class_type], keys)
            kind, key = found[node.class_type], keys[number]
            try:
                done[number] = self._kept(number, node, kind, key) or self._run(number, node, kind, done, key, on_start)
            except WorkflowError as error:
                if number in awaited:
                    raise
                failures.append(error)
        for results in filter(None, (self.results, self.shared)):
            results.trim(keep=set(keys.values()))
        if failures:
            raise Unfinished(done, failures) from failures[0]
        return done

    def _store(self, node: Node) -> Results:
        return self.shared if self.shared is not None and node.class_type in self.sharing else self.results

    def _kept(self, number: str, node: Node, kind: NodeKind, key: str) -> Done | None:
        kept = self._store(node).get(key)
        if kept is None or any(not path.exists() for path in files_of(kept[0], kind)):
            return None
        return Done(number, node, *kept, seconds=0.0, kept=True)

    def _run(
        self,
        number: str,
        node: Node,
        kind: NodeKind,
        done: Mapping[str, Done],
        key: str,
        on_start: Callable[[str, Node], None] | None,
    ) -> Done:
        if on_start is not None:
            on_start(number, node)
        started = time.perf_counter()
        with failures_named(number, node, kind):
            lists = {
                name: done[value.node].outputs[value.output] if isinstance(value, Link) else [value]
                for name, value in node.inputs.items()
            }
            outputs, ui = self._over_lists(node.class_type, kind, lists)
        self._store(node).put(key, outputs, ui)
        return Done(number, node, outputs, ui, time.perf_counter() - started, kept=False)

    def _over_lists(
        self, class_type: str, kind: NodeKind, lists: dict[str, list]
    ) -> tuple[tuple[list[Any], ...], dict[str, list]]:
        """Call the node once with all lists if it takes lists, else once for each of their parts, as ComfyUI does."""
        calls = [lists]
        if not kind.is_input_list:
            count = max((len(values) for values in lists.values()), default=1)
            if count > limits.RUNS:
                raise ValueError(f"it would run {count:,} times, for each part of a list; at most {limits.RUNS:,} go.")
            self._take_calls(count)
            calls = [
                {name: values[min(index, len(values) - 1)] for name, values in lists.items()} for index in range(count)
            ]
        outputs: tuple[list[Any], ...] = tuple([] for _ in kind.outputs)
        ui: dict[str, list] = {}
        for inputs in calls:
            self.host.check_cancelled()
            result = self.call(class_type, self.host, nested(inputs, kind))
            for place, value in enumerate(result.outputs):
                outputs[place].extend(value if kind.is_list[place] else [value])
            for name, shown in result.ui.items():
                ui.setdefault(name, []).extend(shown)
        return outputs, ui

    def _take_calls(self, count: int) -> None:
        """Count calls of nodes; ValueError if the run makes too many."""
        self.calls_left -= count
        if self.calls_left < 0:
            raise ValueError(
                f"the nodes of this run are called more than {limits.CALLS:,} times, for each part of lists; use "
                "shorter lists, or join them into batches."
            )

    def _key(self, number: str, node: Node, kind: NodeKind, keys: Mapping[str, str]) -> str:
        """What a result depends on, as one word: class, values, files, and the keys of what is connected."""
        values = {name: value for name, value in node.inputs.items() if not isinstance(value, Link)}
        links = {name: (keys[link.node], link.output) for name, link in node.links.items()}
        fingerprint = FUNCTIONS[node.class_type].fingerprint
        files = ""
        if fingerprint is not None:
            with failures_named(number, node, kind):
                files = fingerprint(self.host, **nested(values, kind))
        text = json.dumps([node.class_type, values, links, files], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def files_of(outputs: tuple[list[Any], ...], kind: NodeKind) -> list[Path]:
    """The files and folders that outputs name: paths, and text of outputs that are called folder."""
    named = zip(kind.outputs, outputs, strict=True)
    return [
        Path(value)
        for (name, _), values in named
        for value in values
        if isinstance(value, Path) or (name == "folder" and isinstance(value, str) and value)
    ]


def nested(inputs: Mapping[str, Any], kind: NodeKind) -> dict[str, Any]:
    """Dotted names as dicts: {"method": "custom", "method.rho": 0.5} becomes {"method": {"method": "custom", ...}}."""
    groups = {each.name for each in kind.inputs if each.options is not None or each.members is not None}
    result: dict[str, Any] = {}
    for name, value in inputs.items():
        group, _, part = name.partition(".")
        if group in groups:
            result.setdefault(group, {})[part or group] = value
        else:
            result[name] = value
    return result


class failures_named:
    """A context that turns what goes wrong in a node into a WorkflowError which names the node."""

    def __init__(self, number: str, node: Node, kind: NodeKind) -> None:
        self.said = named(number, node, kind.shown)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, Cancelled):
            text = " ".join(str(error).split())
            if is_out_of_memory(error):
                text = memory_sentence(error, "use fewer views, a smaller resolution or a smaller model.")
            elif not text or not isinstance(error, ValueError | OSError | ImportError | RuntimeError):
                text = f"{type(error).__name__} {text}".strip()
            raise WorkflowError(f"{self.said}: {text}") from error
