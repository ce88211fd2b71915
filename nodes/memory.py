"""How much memory a reconstruction needs beside the weights, from the architecture: an estimate, not a promise.

Four moments can be the worst: when the encoder's tokens become the residual stream, inside the last global layers, when
the heads take what they need of the last layer, and the dense heads. All terms are bytes; the counts of live tensors
follow aggregator.py, lean.py, head_inputs.py and dense_head.py in models/, and benchmarks/memory.py compares the sum
with measured peaks.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from ..models import convolutions
from ..models.checkpoints import LoadedModel
from ..models.lean import TOKENS_AT_ONCE
from ..models.sparse.select import INDEX_LIMIT_BYTES, INDEX_LIMIT_PER_TOKEN
from ..texts.memory import OURS, is_out_of_memory

T = TypeVar("T")
logger = logging.getLogger(__name__)

FLOAT32 = 4
POOLED = 0.2  # means, variances and centroids, of what queries (or keys) of all tokens take
LIVE_IN_PIECE = 8  # token widths in the weights' format that the MLP holds for a piece of tokens
# Maps of the head's last width at full size, alive at once with what convolutions need: with the kernels of
# models/convolutions.py, and without.
FULL_SIZE_MAPS, FULL_SIZE_MAPS_PLAIN = 1.4, 2.75


@dataclass(frozen=True)
class Load:
    """One run: N frames of H x W pixels, `frame_chunk` of them at a time in encoder and heads.

    sparse: global attention is sparse. packs: its blocks straddle frames (the paper's rule), so keys and values are
    copied. dense_heads: how many of VGGT's depth and point heads run, computing in numbers of `head_bytes` bytes.
    offload: images and results lie on the CPU. maps_on_cpu: so does what VGGT's dense heads will read.
    """

    frames: int
    height: int
    width: int
    frame_chunk: int = 8
    sparse: bool = True
    packs: bool = False
    dense_heads: int = 1
    head_bytes: int = FLOAT32
    offload: bool = True
    maps_on_cpu: bool = False

    @property
    def pixels(self) -> int:
        """Pixels of one frame."""
        return self.height * self.width

    @property
    def chunk(self) -> int:
        """Frames at a time."""
        return min(self.frames, self.frame_chunk)


def activation_bytes(model: LoadedModel, load: Load) -> int:
    """Bytes beside the weights that `reconstruct` needs at its worst moment."""
    stream = tokens_of(model, load) * model.model.config.encoder.width * FLOAT32
    maps, last_map, piece = map_bytes(model, load)
    held = load.chunk if load.offload else load.frames  # images on the device, and results
    start = stream + max(stream, 2 * weight_format(model, stream))
    heads = maps + piece + load.chunk * head_frame_bytes(model, load)
    heads += held * load.pixels * FLOAT32 * output_channels(model, load)
    taking = 0
    if model.family == "pi3":
        heads += 2 * stream
    else:
        taking = 2 * stream + maps + piece + load.chunk * taken_frame_bytes(model, load)
    worst = max(start, layer_bytes(model, load, stream) + maps - last_map, taking, heads)
    return round(worst + held * load.pixels * FLOAT32 * 3)


def tokens_of(model: LoadedModel, load: Load) -> int:
    """Tokens of all frames."""
    return load.frames * tokens_per_frame(model, load)


def tokens_per_frame(model: LoadedModel, load: Load) -> int:
    """Tokens of one frame: patches, and what the model adds."""
    config = model.model.config
    special = config.registers + (1 if model.family == "vggt" else 0)  # VGGT has a camera token as well
    return special + load.pixels // config.encoder.patch_size**2


def weight_format(model: LoadedModel, float32_bytes: float) -> float:
    """What so many bytes of float32 take in the format of the weights."""
    return float32_bytes / FLOAT32 * next(model.model.parameters()).element_size()


def layer_bytes(model: LoadedModel, load: Load, stream: int) -> float:
    """A global layer whose frame block's result is still wanted: stream, its copy, and what attention holds."""
    config = model.model.config
    tokens = tokens_of(model, load)
    narrow = weight_format(model, stream)  # all tokens, in the format of the weights
    piece = weight_format(model, min(tokens, TOKENS_AT_ONCE) * config.encoder.width * FLOAT32 * LIVE_IN_PIECE)
    found = 2 * stream + 4 * narrow + tokens * config.heads * FLOAT32  # queries, keys, values, output; sums
    if load.sparse:
        lists = max(INDEX_LIMIT_BYTES, INDEX_LIMIT_PER_TOKEN * tokens)
        found += POOLED * narrow + min(lists, narrow) + (2 * narrow if load.packs else 0)
    return found + piece


def map_bytes(model: LoadedModel, load: Load) -> tuple[int, int, int]:
    """What waits on the device for VGGT's dense heads, the last layer's part of it, and what comes back at a time."""
    config = model.model.config
    if model.family == "pi3":
        return 0, 0, 0
    frame = load.pixels // config.encoder.patch_size**2 * load.head_bytes * load.dense_heads
    piece = load.chunk * frame * sum(config.dense.channels) if load.maps_on_cpu else 0
    waiting = 0 if load.maps_on_cpu else load.frames * frame
    return waiting * sum(config.dense.channels), waiting * config.dense.channels[-1], piece


def taken_frame_bytes(model: LoadedModel, load: Load) -> int:
    """What the heads hold of one frame while they take their maps: both halves joined, normalised, converted."""
    return tokens_per_frame(model, load) * 2 * model.model.config.encoder.width * FLOAT32 * 3


def head_frame_bytes(model: LoadedModel, load: Load) -> float:
    """What the dense heads hold for one frame."""
    config = model.model.config
    if model.family == "pi3":
        per_token = 6 * config.head_width * FLOAT32
        return tokens_per_frame(model, load) * per_token + load.pixels * 8 * FLOAT32
    kernels = convolutions.run_on(next(model.model.parameters()).device)
    at_once = FULL_SIZE_MAPS if kernels else FULL_SIZE_MAPS_PLAIN
    return load.pixels * load.head_bytes * config.dense.features / 2 * at_once


def output_channels(model: LoadedModel, load: Load) -> int:
    """Numbers of a pixel that come out: depth and confidence, points and confidence."""
    return (2 if load.dense_heads < 2 else 6) if model.family == "vggt" else 7


def most_frames(model: LoadedModel, load: Load, budget_bytes: int) -> int:
    """How many frames of this size fit into so many bytes; 0 if not one does."""
    return largest_that(lambda n: activation_bytes(model, replace(load, frames=n)) <= budget_bytes, load.frames)


def largest_that(fits: Callable[[int], bool], most: int) -> int:
    """The largest of 1..most that fits, where all smaller ones do as well; 0 if not even 1 does."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def fitted(model: LoadedModel, load: Load, budget_bytes: int) -> Load:
    """The run as it fits into so many bytes, and as fast as it can be then; the leanest where nothing fits.

    First there are a half or a quarter of the frames at a time, then VGGT's maps wait on the CPU, then it is ever fewer
    frames.
    """
    chunks = [load.frame_chunk, *(load.chunk >> halvings for halvings in range(1, load.chunk.bit_length()))]
    ways = [replace(load, frame_chunk=chunk) for chunk in chunks]
    if can_move_maps(model):
        ways = ways[:3] + [replace(load, frame_chunk=chunk, maps_on_cpu=True) for chunk in chunks]
    return next((way for way in ways if activation_bytes(model, way) <= budget_bytes), ways[-1])


def can_move_maps(model: LoadedModel) -> bool:
    """Whether what the heads will read can wait elsewhere than on the device."""
    return model.family == "vggt" and next(model.model.parameters()).device.type != "cpu"


def free_bytes_on(device: torch.device) -> int | None:
    """What this process may still take of a GPU's memory, what PyTorch holds unused included; None elsewhere."""
    if device.type != "cuda":
        return None
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def usable(free_bytes: int) -> int:
    """What tensors can take of so much free memory; the rest are gaps between them, as benchmarks found."""
    return free_bytes * 9 // 10


def run_fitting(run: Callable[[Load], T], ways: Sequence[Load]) -> tuple[T, Load]:
    """What `run` gives for the first of these ways for which memory suffices, and that way; the last one may fail."""
    for way in ways[:-1]:
        try:
            return run(way), way
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Out here nothing refers to the failed run any more, so its memory can be given back.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning("Memory ran out; starting again in less of it.")
    return run(ways[-1]), ways[-1]


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


def out_of_memory_message(model: LoadedModel, load: Load, free_bytes: int | None) -> str:
    """What to tell somebody whose run did not fit: what was needed, what was there, and settings that would fit."""
    needed = activation_bytes(model, load)
    views = f"{load.frames} views of {load.width} x {load.height} pixels"
    text = f"{OURS}{views} need about {gib(needed)} beside the model"
    if free_bytes is None:
        return f"{text}. Use fewer views (limit), a smaller resolution, or frame_chunk 1."
    budget = usable(min(free_bytes, needed))  # it did not fit, whatever the estimate says
    ways = []
    small_chunk = replace(load, frame_chunk=1, maps_on_cpu=can_move_maps(model))
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
