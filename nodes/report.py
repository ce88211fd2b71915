"""What was done, what it cost, and how far it can be trusted, in a few lines."""

from collections.abc import Sequence

from ..scene.reconstruction import Reconstruction
from ..scene.verdict import verdict

NOTES_SHOWN = 20


def report_text(scene: Reconstruction) -> str:
    """Frames, tokens, seconds of each stage, peak memory, the verdict, and what was left out, a line each.

    What a scene does not know of itself, because it was saved by other hands, is not in the report.
    """
    height, width = scene.image_size
    frames = "1 frame" if len(scene) == 1 else f"{len(scene)} frames"
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in scene.timings.items())
    tokens, place = scene.settings.get("tokens"), [scene.settings.get(name) for name in ("precision", "device")]
    counted = f", {tokens:,} tokens" if isinstance(tokens, int) else ""
    lines = [f"{frames} of {width} x {height} pixels{counted}", attention_text(scene)]
    lines.append(f"model {scene.model or 'not named'}{', {} on {}'.format(*place) if all(place) else ''}")
    if seconds:
        lines.append(f"seconds: {seconds}; together {sum(scene.timings.values()):.1f}")
    if scene.peak_memory_bytes is not None:
        lines.append(f"peak memory: {scene.peak_memory_bytes / 2**30:.2f} GiB")
    return "\n".join((*lines, verdict_text(scene), *notes_shown(scene.notes)))


def verdict_text(scene: Reconstruction) -> str:
    """The verdict with its numbers and what to do, in two lines."""
    found = verdict(scene)
    advice = f" {found.advice}" if found.advice else ""
    return f"{found.numbers}\nverdict: {found.level}: {found.meaning}.{advice}"


def notes_shown(notes: Sequence[str]) -> list[str]:
    """The notes as lines; of very many the first, and how many more there are."""
    more = len(notes) - NOTES_SHOWN
    return [*notes[:NOTES_SHOWN], *([f"... and {more} more notes"] if more > 0 else [])]


def attention_text(scene: Reconstruction) -> str:
    """How much of global attention was computed, by what."""
    share = 1.0 if scene.density is None else float(scene.density.mean())
    return f"global attention: {100 * share:.0f} % of all pairs computed; {scene.settings.get('attention', 'dense')}"
