"""What was done and what it cost, in a few lines."""

from ..scene.reconstruction import Reconstruction


def report_text(scene: Reconstruction) -> str:
    """Frames, tokens, seconds of each stage and peak memory, a line each."""
    height, width = scene.image_size
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in scene.timings.items())
    return "\n".join(
        (
            f"{len(scene)} frames of {width} x {height} pixels, {scene.settings['tokens']:,} tokens",
            f"model {scene.model}, {scene.settings['precision']} on {scene.settings['device']}",
            f"seconds: {seconds}; together {sum(scene.timings.values()):.1f}",
            f"peak memory: {scene.peak_memory_bytes / 2**30:.2f} GiB",
        )
    )
