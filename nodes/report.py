"""What was done and what it cost, in a few lines."""

from collections.abc import Sequence

import numpy as np

from ..scene.reconstruction import Reconstruction

NOTES_SHOWN = 20


def report_text(scene: Reconstruction) -> str:
    """Frames, tokens, seconds of each stage, peak memory and confidence, a line each; then what was left out."""
    height, width = scene.image_size
    frames = "1 frame" if len(scene) == 1 else f"{len(scene)} frames"
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in scene.timings.items())
    return "\n".join(
        (
            f"{frames} of {width} x {height} pixels, {scene.settings['tokens']:,} tokens",
            attention_text(scene),
            f"model {scene.model}, {scene.settings['precision']} on {scene.settings['device']}",
            f"seconds: {seconds}; together {sum(scene.timings.values()):.1f}",
            f"peak memory: {scene.peak_memory_bytes / 2**30:.2f} GiB",
            f"confidence: {np.median(scene.confidence):.2g} for the median pixel (0: a guess, 1: sure)",
            *notes_shown(scene.notes),
        )
    )


def notes_shown(notes: Sequence[str]) -> list[str]:
    """The notes as lines; of very many the first, and how many more there are."""
    more = len(notes) - NOTES_SHOWN
    return [*notes[:NOTES_SHOWN], *([f"... and {more} more notes"] if more > 0 else [])]


def attention_text(scene: Reconstruction) -> str:
    """How much of global attention was computed, by what."""
    share = 1.0 if scene.density is None else float(scene.density.mean())
    return f"global attention: {100 * share:.0f} % of all pairs computed; {scene.settings.get('attention', 'dense')}"
