"""A result as what the parts of the page are to show."""

from typing import Any

import gradio as gr

from . import views, work
from .display import frame_choices, scale_text, viewer_value
from .panels import Page
from .routes import PREFIX
from .sessions import Session

Updates = dict[Any, Any]
FRAMES = (("image", "photo"), ("depth", "depth: near is light"), ("confidence", "confidence rank: green is best here"))
DIFFERENCES = (
    ("image", "photo"),
    ("depth", "depth, chosen"),
    ("other", "depth, compared with"),
    ("difference", "difference: red is 10 % and more"),
)
OLD_FILES = "The points or the scale have changed; make the files again."


def outputs(page: Page) -> list[Any]:
    """What a run may change."""
    shown = [page.viewer, page.frames, page.cameras, page.report, page.scale_text, page.forget_scale]
    compared = [page.comparison, page.pair, page.viewer_a, page.viewer_b, page.differences]
    buttons = [page.run, page.cancel, page.compare]
    return [page.status, *buttons, page.files, page.film, *shown, *compared, *page.controls.group("points")]


def shown(page: Page, session: Session, outcome: work.Outcome, again: bool = False) -> Updates:
    """A result in all tabs; `again`: only what another choice of points or another scale changes.

    Links to files that were made of another choice of points go.
    """
    scene = outcome.scene
    base = f"{PREFIX[1:]}/files/{session.token}/frames/{outcome.run}"
    updates = {
        page.status: views.finished(outcome),
        page.viewer: viewer_value(session, outcome.shown, outcome.done, session.settings.view),
        page.cameras: views.cameras(scene),
        page.scale_text: scale_text(outcome.settings),
        page.forget_scale: gr.update(visible=outcome.settings.scale is not None),
        page.frames: views.frames(base, scene.names, FRAMES),
        page.controls.of("points", "frames"): gr.update(choices=frame_choices(scene.names)),
        page.files: without_files(session),
        page.film: "",
    }
    if again:
        return updates
    updates |= {page.report: views.report(scene), page.pair: gr.update(visible=outcome.compared is not None)}
    if outcome.compared is None:
        return updates | {page.comparison: "", page.differences: ""}
    return updates | {
        page.comparison: views.comparison(outcome),
        page.viewer_a: viewer_value(session, outcome.shown, outcome.done),
        page.viewer_b: viewer_value(session, outcome.compared_shown, outcome.done, unit=outcome.comparison.scale),
        page.differences: views.frames(base, scene.names, DIFFERENCES),
    }


def without_files(session: Session) -> str:
    """The list of files after the scene has changed: none, with a word if there were some."""
    had, session.files, session.film = bool(session.files or session.film), "", ""
    return views.quiet(OLD_FILES) if had else ""
