"""A workflow that a visitor has opened: as settings as far as the page has controls, else as a graph to run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING, Any

from ..nodes.graph.loading import NO_MASKS, SAMPLES, known_checkpoint, model_names
from ..workflows.check import check
from ..workflows.definitions import kinds
from ..workflows.graph import Graph, Node
from ..workflows.problem import WorkflowError
from ..workflows.reading import graph_of
from ..workflows.runner import Done
from . import graphs
from .settings import MODEL, Settings
from .texts import is_here, model_text, plain

if TYPE_CHECKING:
    from .sessions import Session

PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Opened:
    """settings is None where the page has no controls for the graph; `can_run` if all that it reads is here.

    missing: the known model that it uses and that is not on this computer; "" for none.
    """

    graph: Graph
    document: Any
    settings: Settings | None
    notes: list[str] = field(default_factory=list)
    can_run: bool = False
    missing: str = ""


def open_document(session: "Session", document: Any) -> Opened:
    """A document that was read; WorkflowError if it is no workflow that can run here."""
    found = kinds(session.host)
    graph = with_known_models(graph_of(document, found), session)
    missing = missing_model(graph, session)
    wanted = [_wanted(missing, session)] if missing else []
    try:
        settings, notes = graphs.read(graph_with_sources(graph, session))
    except WorkflowError as error:
        return Opened(check(graph, found), document, None, [*wanted, *error.sentences], missing=missing)
    notes = [*wanted, *notes]
    source, masks = settings.images["source"], settings.images["masks"]
    if source in SAMPLES:
        session.photos.take_sample(source)
    elif source != session.photos.source:
        notes.append(f"It reads {source!r}, which is not here: add those photos at the left, then press Reconstruct.")
    masks_here = masks in (NO_MASKS, session.photos.masks)
    if not masks_here:
        notes.append(f"It reads masks from {masks!r}, which are not here: add them at the left if you want them.")
    can_run = source == session.photos.source and masks_here and not missing
    return Opened(graph, document, settings, notes, can_run, missing)


def with_known_models(graph: Graph, session: "Session") -> Graph:
    """The graph, where a file of weights that is not here has the name of the known model that it holds."""
    here = model_names(session.host)

    def named_so(node: Node) -> Node:
        model = node.inputs.get("model")
        if node.class_type != MODEL or not isinstance(model, str) or model in here:
            return node
        known = known_checkpoint(model)
        return node if known is None else replace(node, inputs={**node.inputs, "model": known.name})

    return {number: named_so(node) for number, node in graph.items()}


def missing_model(graph: Graph, session: "Session") -> str:
    """The first known model of a graph that is not on this computer; "" for none."""
    models = [str(node.inputs.get("model")) for node in graph.values() if node.class_type == MODEL]
    return next((model for model in models if not is_here(model, session.host.model_folder)), "")


def _wanted(model: str, session: "Session") -> str:
    about = re.sub("<[^>]*>", "", model_text(model, session.host.model_folder))
    return f"It uses {model} ({about.rstrip('.')}). Download it, then press Reconstruct."


def graph_with_sources(graph: Graph, session: "Session") -> Graph:
    """The graph checked, where photos may be missing: they can be added later."""
    offered = kinds(session.host)
    sources = {str(node.inputs.get("source")) for node in graph.values() if node.class_type == "ManyView_LoadImages"}
    masks = {str(node.inputs.get("masks", NO_MASKS)) for node in graph.values()}
    return check(graph, with_choices(offered, "ManyView_LoadImages", {"source": sources, "masks": masks}))


def with_choices(found: Mapping[str, Any], class_type: str, more: Mapping[str, set[str]]) -> dict[str, Any]:
    """The classes with more choices for some inputs."""
    kind = found[class_type]
    inputs = tuple(
        replace(each, choices=(*each.choices, *sorted(more[each.name] - set(each.choices))))
        if each.name in more and each.choices is not None
        else each
        for each in kind.inputs
    )
    return {**found, class_type: replace(kind, inputs=inputs)}


def opened_html(name: str, opened: Opened) -> str:
    """What was opened, and what of it has no control."""
    what = "Its settings are in the controls now." if opened.settings else "The page has no controls for it."
    notes = "".join(f"<li>{escape(plain(note))}</li>" for note in opened.notes)
    whole = "" if opened.missing else "<p>As a whole it runs by <b>Run it as it is</b>.</p>"
    more = f"{whole}<ul>{notes}</ul>" if notes else ""
    return f"<p><b>{escape(name)}</b>: {len(opened.graph)} nodes. {what}</p>{more}"


def nodes_html(done: Mapping[str, Done], address: Any) -> str:
    """What each node of a run had to say; `address` turns the entry of a file into where it is."""
    rows = []
    for each in done.values():
        texts = "".join(f"<pre>{escape(plain(str(text)[:5000]))}</pre>" for text in each.ui.get("text", []))
        shown = [
            (entry["filename"], address(entry))
            for entries in each.ui.values()
            for entry in entries
            if isinstance(entry, dict)
        ]
        pictures = "".join(
            f'<img src="{escape(url)}" alt="{escape(name)}">' for name, url in shown if name.lower().endswith(PICTURES)
        )
        files = "".join(
            f'<a class="mv-file" href="{escape(url)}" download>{escape(name)}</a>'
            for name, url in shown
            if not name.lower().endswith(PICTURES)
        )
        title = escape(plain(graphs.called(each.number, each.node)))
        seconds = "kept" if each.kept else f"{each.seconds:.2f} s"
        rows.append(f'<div class="mv-node"><b>{title}</b> <span>{seconds}</span>{texts}{pictures}{files}</div>')
    return "".join(rows)
