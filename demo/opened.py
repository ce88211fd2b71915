"""A workflow that a visitor has opened: as settings as far as the page has controls, else as a graph to run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING, Any

from ..nodes.graph.loading import NO_MASKS, SAMPLES
from ..workflows.check import check
from ..workflows.definitions import kinds
from ..workflows.graph import Graph, named
from ..workflows.problem import WorkflowError
from ..workflows.reading import graph_of
from ..workflows.runner import Done
from . import graphs
from .settings import Settings

if TYPE_CHECKING:
    from .sessions import Session

PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Opened:
    """settings is None where the page has no controls for the graph; `can_run` if all that it reads is here."""

    graph: Graph
    document: Any
    settings: Settings | None
    notes: list[str] = field(default_factory=list)
    can_run: bool = False


def open_document(session: "Session", document: Any) -> Opened:
    """A document that was read; WorkflowError if it is no workflow that can run here."""
    found = kinds(session.host)
    graph = graph_of(document, found)
    try:
        settings, notes = graphs.read(graph_with_sources(graph, session))
    except WorkflowError as error:
        return Opened(check(graph, found), document, None, list(error.sentences))
    source, masks = settings.images["source"], settings.images["masks"]
    if source in SAMPLES:
        session.photos.take_sample(source)
    elif source != session.photos.source:
        notes.append(f"It reads {source!r}, which is not here: add those photos at the left, then press Reconstruct.")
    masks_here = masks in (NO_MASKS, session.photos.masks)
    if not masks_here:
        notes.append(f"It reads masks from {masks!r}, which are not here: add them at the left if you want them.")
    return Opened(graph, document, settings, notes, source == session.photos.source and masks_here)


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
    notes = "".join(f"<li>{escape(note)}</li>" for note in opened.notes)
    more = f"<p>As a whole it runs by <b>Run it as it is</b>.</p><ul>{notes}</ul>" if notes else ""
    return f"<p><b>{escape(name)}</b>: {len(opened.graph)} nodes. {what}</p>{more}"


def nodes_html(done: Mapping[str, Done], address: Any) -> str:
    """What each node of a run had to say; `address` turns the entry of a file into where it is."""
    rows = []
    for each in done.values():
        texts = "".join(f"<pre>{escape(str(text)[:5000])}</pre>" for text in each.ui.get("text", []))
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
        title = escape(named(each.number, each.node))
        seconds = "kept" if each.kept else f"{each.seconds:.2f} s"
        rows.append(f'<div class="mv-node"><b>{title}</b> <span>{seconds}</span>{texts}{pictures}{files}</div>')
    return "".join(rows)
