"""What was done and what it cost, in a few lines."""

import numpy as np

from ..scene.reconstruction import Reconstruction


def report_text(scene: Reconstruction) -> str:
    """Frames, tokens, seconds of each stage, peak memory and confidence, a line each."""
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
        )
    )


def attention_text(scene: Reconstruction) -> str:
    """How much of global attention was computed, by what."""
    share = 1.0 if scene.density is None else float(scene.density.mean())
    return f"global attention: {100 * share:.0f} % of all pairs computed; {scene.settings.get('attention', 'dense')}"
