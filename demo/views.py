"""What results look like: small pieces of HTML, with everything that comes from files escaped."""

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import torch

from ..models.geometry import rotation_to_quaternion
from ..nodes.compare import Comparison, comparison_text
from ..nodes.graph.sparsity_report import density_of
from ..nodes.report import attention_text
from ..nodes.set_scale import meters_per_unit
from ..scene.reconstruction import Reconstruction
from ..scene.verdict import verdict
from .course import time_left
from .jobs import CANCELLED, RUNNING, WAITING, Job
from .texts import FORMATS, sparsity_text, stage_text
from .work import Outcome

GRADES = {"good": "good", "doubtful": "doubtful", "a guess": "guess", "not rated": "unrated"}
SIDES = ("chosen", "compared with")
STAGES = {"scene": "cameras and points"}
SAME = (
    '<p class="mv-quiet">Both settings compute all of attention here, so the results do not differ, and the network '
    "ran once for both. A scene as small as this one is computed whole unless <b>Dense below</b> at the left is 1.</p>"
)
CAMERA_COLUMNS = ["frame", "name", "x", "y", "z", "qx", "qy", "qz", "qw", "focal x", "focal y", "width", "height"]


def status(job: Job | None, ahead: int = 0) -> str:
    """Where a job is: its place in the queue, a bar while it runs, how it ended."""
    if job is None:
        return _status("idle", "Ready.")
    if job.state == WAITING:
        others = f"{ahead} job{'s' if ahead != 1 else ''} before yours" if ahead else "yours is next"
        return _status("waiting", f"In the queue: {others}.", bar=0)
    if job.state == RUNNING:
        doing, share = stage_text(job.stage or "Starting"), job.overall
        left = time_left(share, job.seconds)
        times = f"{job.seconds:.0f} s, {left}" if left else f"{job.seconds:.0f} s"
        return _status("running", f"{doing} ({times})", bar=share, say=doing)
    if job.state == CANCELLED:
        return _status("idle", "Cancelled. What was finished is kept, so another run begins there.")
    return _status("failed", "That did not work.")


def finished(outcome: Outcome) -> str:
    """The end of a run in one line."""
    scene, points = outcome.scene, len(outcome.cloud)
    seconds = sum(each.seconds for each in outcome.done.values()) if outcome.has_run else 0.0
    time = f", {seconds:.1f} s" if seconds else ""
    unit = " in metres" if meters_per_unit(scene) else ""
    some = f" of {outcome.given}" if outcome.given != len(scene) else ""
    text = f"{len(scene)}{some} views, {points:,} points{unit}{time}."
    if not points:
        text = "No point is left: hide fewer of the least certain, or look at the masks."
        return _status("failed", text, notes=outcome.notes)
    return _status(
        "done", text, f"{text} {verdict_title(scene)}", notes=outcome.notes, verdict=judged(scene), result=True
    )


def judged(scene: Reconstruction) -> dict[str, str]:
    """The verdict on a scene, with what to do about it."""
    found = verdict(scene)
    text = f"{found.meaning[0].upper()}{found.meaning[1:]}. {found.advice}".strip()
    return {"grade": GRADES[found.level], "title": verdict_title(scene), "text": text}


def verdict_title(scene: Reconstruction) -> str:
    """The verdict in a few words: "Good (confidence 0.61)."."""
    found = verdict(scene)
    return f"{found.level.capitalize()} (confidence {found.confidence:.2f})."


def message(kind: str, text: str, notes: Sequence[str] = ()) -> str:
    """Any other line of status."""
    return _status(kind, text, notes=list(notes))


def quiet(text: str) -> str:
    """A sentence in place of something."""
    return f'<p class="mv-quiet">{escape(text)}</p>'


def report(scene: Reconstruction) -> str:
    """Seconds of each stage, peak memory, and the share of attention that each layer computed."""
    height, width = scene.image_size
    facts = {
        "views": f"{len(scene)} of {width} x {height} pixels, {scene.settings['tokens']:,} tokens",
        "model": f"{scene.model}, {scene.settings['precision']} on {scene.settings['device']}",
        "attention": attention_text(scene).partition(": ")[2],
        "peak memory": f"{(scene.peak_memory_bytes or 0) / 2**30:.2f} GiB",
        "confidence": verdict(scene).numbers.removeprefix("confidence "),
        "verdict": f"{verdict_title(scene)} {judged(scene)['text']}",
    }
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in facts.items())
    return (
        f'<div class="mv-report"><table class="mv-facts">{rows}</table>'
        f"<h4>Seconds of each stage</h4>{_bars(_timings(scene), '{:.2f} s')}"
        f"<h4>Attention computed in each layer</h4>{_density(scene)}</div>"
    )


def cameras(scene: Reconstruction) -> list[list[object]]:
    """A row for each camera: position and quaternion of camera to world (OpenCV), focal lengths of the original."""
    quaternions = rotation_to_quaternion(torch.from_numpy(scene.camera_to_world[:, :3, :3])).numpy()
    intrinsics = scene.original_intrinsics()
    rows = []
    for frame, name in enumerate(scene.names):
        place = [round(float(value), 4) for value in (*scene.camera_positions[frame], *quaternions[frame])]
        focal = [round(float(intrinsics[frame, axis, axis]), 1) for axis in (0, 1)]
        rows.append([frame, name, *place, *focal, *(int(size) for size in scene.original_sizes[frame])])
    return rows


def frames(base: str, names: Sequence[str], kinds: Sequence[tuple[str, str]]) -> str:
    """Rows of pictures, one for each frame; kinds are names of pictures and what they are called."""
    head = "".join(f"<div>{escape(title)}</div>" for _, title in kinds)
    rows = []
    for frame, name in enumerate(names):
        cells = "".join(
            f'<a href="{base}/{kind}_{frame}.jpg" target="_blank"><img loading="lazy" alt="{title} of frame {frame}" '
            f'src="{base}/{kind}_{frame}.jpg"></a>'
            for kind, title in kinds
        )
        rows.append(
            f'<div class="mv-frame"><span>{frame}: {escape(name)}</span><div class="mv-cells">{cells}</div></div>'
        )
    style = f"--mv-columns:{len(kinds)}"
    return f'<div class="mv-frames" style="{style}"><div class="mv-cells mv-head">{head}</div>{"".join(rows)}</div>'


def comparison(outcome: Outcome) -> str:
    """Two runs side by side: seconds, memory, attention, and how the results differ."""
    first, second = outcome.scene, outcome.compared
    found = outcome.comparison
    methods = (outcome.settings.sparsity, outcome.settings.against)
    titles = [f"{title}: {sparsity_text(values)}" for title, values in zip(SIDES, methods, strict=True)]
    columns = tuple(zip(titles, (first, second), strict=True))
    rows = [
        ("computed by", [_method(scene) for _, scene in columns]),
        ("seconds in the network", [f"{sum(scene.timings.values()):.2f}" for _, scene in columns]),
        ("seconds of the layers", [f"{_layers(scene):.2f}" for _, scene in columns]),
        ("peak memory", [f"{(scene.peak_memory_bytes or 0) / 2**30:.2f} GiB" for _, scene in columns]),
        ("attention computed", [f"{100 * float(density_of(scene).mean()):.1f} %" for _, scene in columns]),
        ("median confidence", [f"{verdict(scene).confidence:.3f}" for _, scene in columns]),
    ]
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{escape(value)}</td>' for value in values)}</tr>"
        for name, values in rows
    )
    head = "".join(f"<th>{escape(title)}</th>" for title, _ in columns)
    what = f"{len(first)} views, {first.model}, the same photos and settings but for attention."
    note = SAME if first.density is None and second.density is None else ""
    return (
        f'<div class="mv-compare"><p>{escape(what)}</p><table class="mv-facts"><tr><th></th>{head}</tr>{body}</table>'
        f"{note}<h4>Difference</h4>{_differences(found)}</div>"
    )


def files(links: Iterable[tuple[Path, str]]) -> str:
    """A list of downloads, (file, address)."""
    items = "".join(
        f'<a class="mv-file" href="{escape(url)}" download><b>{escape(path.name)}</b>'
        f"<span>{size_text(path.stat().st_size)}</span></a>"
        for path, url in links
    )
    return f'<div class="mv-files">{items}</div>'


def film(url: str, path: Path) -> str:
    """A film to be looked at and taken away."""
    return (
        f'<video class="mv-film" controls loop playsinline preload="metadata" src="{escape(url)}"></video>'
        f"{files([(path, url)])}"
    )


def size_text(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def format_choices() -> list[tuple[str, str]]:
    """The kinds of files, as (what it is called, name)."""
    return [(text, name) for name, text in FORMATS.items()]


def _status(kind: str, text: str, say: str | None = None, bar: float | None = None, **more: Any) -> str:
    """What page/status.js shows. say: what is read out where that is not the text."""
    return json.dumps({"kind": kind, "text": text, "bar": bar, "say": text if say is None else say, **more})


def _timings(scene: Reconstruction) -> dict[str, float]:
    return {STAGES.get(stage, stage): seconds for stage, seconds in scene.timings.items()}


def _bars(values: dict[str, float], form: str) -> str:
    most = max(values.values(), default=1.0) or 1.0
    rows = (_row(name, value / most, form.format(value)) for name, value in values.items())
    return f'<div class="mv-bars">{"".join(rows)}</div>'


def _row(name: str, share: float, text: str, title: str = "") -> str:
    """A named bar."""
    return (
        f'<div class="mv-row" title="{escape(title)}"><span>{escape(name)}</span><div class="mv-track">'
        f'<div style="width:{100 * share:.1f}%"></div></div><span>{escape(text)}</span></div>'
    )


def _density(scene: Reconstruction) -> str:
    """A bar for each layer: mean over heads; the title says least and most."""
    density = density_of(scene)
    if scene.density is None:
        return '<p class="mv-quiet">All of it, in every layer.</p>'
    rows = (
        _row(
            str(layer),
            float(heads.mean()),
            f"{100 * heads.mean():.1f} %",
            f"heads {100 * heads.min():.1f} to {100 * heads.max():.1f} %",
        )
        for layer, heads in enumerate(density)
    )
    return f'<div class="mv-bars mv-layers">{"".join(rows)}</div>'


def _method(scene: Reconstruction) -> str:
    return attention_text(scene).partition("; ")[2]


def _layers(scene: Reconstruction) -> float:
    return sum(seconds for stage, seconds in scene.timings.items() if stage in ("aggregator", "decoder"))


def _differences(found: Comparison) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, _, value in (line.partition(": ") for line in comparison_text(found).splitlines())
    )
    return f'<table class="mv-facts">{rows}</table>'
