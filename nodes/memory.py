"""How much memory a reconstruction needs beside the weights, from the architecture: an estimate, not a promise.

Two moments can be the worst: the last layers of the token stack, when what the heads read is being kept, and the dense
heads. All terms are bytes; the counts of live tensors follow models/aggregator.py, models/pi3.py and dense_head.py, and
benchmarks/memory.py compares the sum with measured peaks.
"""

from dataclasses import dataclass, replace

import torch

from ..models.checkpoints import LoadedModel

FLOAT32 = 4
LIVE_IN_BLOCK = 11  # token widths in the weights' format that a block holds at once: norm, hidden layer twice, branch
STREAMS = 3  # float32 residual streams alive at once: before, after the frame block, after the global block


@dataclass(frozen=True)
class Load:
    """One run: N frames of H x W pixels, `frame_chunk` of them at a time in encoder and heads."""

    frames: int
    height: int
    width: int
    frame_chunk: int = 8

    @property
    def pixels(self) -> int:
        """Pixels of one frame."""
        return self.height * self.width


def activation_bytes(model: LoadedModel, load: Load) -> int:
    """Bytes beside the weights that `reconstruct` needs at its worst moment."""
    tokens = load.frames * tokens_per_frame(model, load)
    stream = tokens * model.model.config.encoder.width * FLOAT32
    element = next(model.model.parameters()).element_size()
    block = tokens * model.model.config.encoder.width * element * LIVE_IN_BLOCK
    kept = kept_streams(model) * stream
    images = load.frames * load.pixels * (3 + 3 * FLOAT32)
    layers = kept + STREAMS * stream + block
    heads = kept + min(load.frame_chunk, load.frames) * head_bytes(model, load) + output_bytes(model, load)
    return images + max(layers, heads)


def tokens_per_frame(model: LoadedModel, load: Load) -> int:
    """Tokens of one frame: patches, and what the model adds."""
    config = model.model.config
    special = config.registers + (1 if model.family == "vggt" else 0)  # VGGT has a camera token as well
    return special + load.pixels // config.encoder.patch_size**2


def kept_streams(model: LoadedModel) -> int:
    """Token widths in float32 that wait for the heads: [frame | global] of each kept layer."""
    config = model.model.config
    return 2 * len({*config.kept_layers, config.depth - 1}) if model.family == "vggt" else 2


def head_bytes(model: LoadedModel, load: Load) -> int:
    """What the dense heads hold for one frame."""
    config = model.model.config
    if model.family == "pi3":
        per_token = 6 * config.head_width * FLOAT32
        return tokens_per_frame(model, load) * per_token + load.pixels * 8 * FLOAT32
    features = config.dense.features
    return load.pixels * FLOAT32 * (2 * features // 2 + features)  # half the features at full size, in and out


def output_bytes(model: LoadedModel, load: Load) -> int:
    """The maps that come out, for all frames."""
    channels = 2 if model.family == "vggt" else 7
    return load.frames * load.pixels * channels * FLOAT32


def most_frames(model: LoadedModel, load: Load, budget_bytes: int) -> int:
    """How many frames of this size fit into so many bytes; 0 if not one does."""
    low, high = 0, load.frames
    while low < high:
        middle = (low + high + 1) // 2
        fits = activation_bytes(model, replace(load, frames=middle)) <= budget_bytes
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def largest_side(model: LoadedModel, load: Load, budget_bytes: int) -> int:
    """The longest side in pixels, a multiple of the patch size, at which all frames fit; 0 if none does."""
    patch = model.model.config.encoder.patch_size
    longest = max(load.height, load.width)
    for side in range(longest // patch * patch, 0, -patch):
        height, width = (_scaled(pixels, side / longest, patch) for pixels in (load.height, load.width))
        smaller = replace(load, height=height, width=width)
        if activation_bytes(model, smaller) <= budget_bytes:
            return side
    return 0


def _scaled(pixels: int, factor: float, patch: int) -> int:
    return max(patch, round(pixels * factor / patch) * patch)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU, an Apple chip or a processor."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "not enough memory" in text)


def out_of_memory_message(model: LoadedModel, load: Load, free_bytes: int | None) -> str:
    """What to tell somebody whose run did not fit: what was needed, what was there, and settings that would fit."""
    needed = activation_bytes(model, load)
    views = f"{load.frames} views of {load.width} x {load.height} pixels"
    text = f"Out of memory: {views} need about {gib(needed)} beside the model"
    if free_bytes is None:
        return f"{text}. Use fewer views (limit), a smaller resolution, or frame_chunk 1."
    budget = min(free_bytes, needed) * 9 // 10  # it did not fit, whatever the estimate says
    ways = []
    small_chunk = replace(load, frame_chunk=1)
    if load.frame_chunk > 1 and activation_bytes(model, small_chunk) <= budget:
        ways.append("set frame_chunk to 1")
    if frames := most_frames(model, small_chunk, budget):
        ways.append(f"set limit to {frames}" + (" and frame_chunk to 1" if load.frame_chunk > 1 else ""))
    if side := largest_side(model, small_chunk, budget):
        ways.append(f"set resolution to {side}" + (" and frame_chunk to 1" if load.frame_chunk > 1 else ""))
    advice = ", or ".join(ways) if ways else "use a smaller model, bfloat16 precision, or a card with more memory"
    return f"{text}, and {gib(free_bytes)} were free. What should fit: {advice}."


def gib(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**30:.1f} GiB"
