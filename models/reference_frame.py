"""Which frame Depth Anything 3 takes as its reference, told by the class tokens that its first blocks give."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from .parallel import FrameParallel

Reference = Callable[[Tensor], Tensor]
"""Class tokens (B, N, C) of three frames or more -> number of the reference frame (B,)."""


def choose_reference(class_tokens: Tensor, choose: Reference, parallel: FrameParallel | None) -> Tensor:
    """Where the reference frame is, (B, N) bool; of one or two frames the first."""
    tokens = class_tokens if parallel is None else parallel.all_frames(class_tokens.contiguous())
    batch, frames, _ = tokens.shape
    chosen = choose(tokens) if frames > 2 else torch.zeros(batch, dtype=torch.int64, device=tokens.device)
    found = torch.arange(frames, device=tokens.device) == chosen[:, None]
    return found if parallel is None else parallel.own_frames(found)


def first_frame(tokens: Tensor) -> Tensor:
    return torch.zeros(tokens.shape[0], dtype=torch.int64, device=tokens.device)


def middle_frame(tokens: Tensor) -> Tensor:
    return first_frame(tokens) + tokens.shape[1] // 2


def balanced_frame(tokens: Tensor) -> Tensor:
    """The most average frame in similarity to the others, in the norm of its token and in the variance of its unit."""
    norms = tokens.norm(dim=-1)  # (B, N)
    unit = tokens / norms[..., None]
    similarity = (similarities(unit).sum(-1)) / (tokens.shape[1] - 1)
    scores = [(rescaled(value) - 0.5).abs() for value in (similarity, norms, unit.var(dim=-1))]
    return (scores[0] + scores[1] + scores[2]).argmin(dim=-1)


def widest_range_frame(tokens: Tensor) -> Tensor:
    """The frame with the widest range of similarities; they count 0 to itself."""
    found = similarities(functional.normalize(tokens, dim=-1))
    return (found.amax(-1) - found.amin(-1)).argmax(dim=-1)


def similarities(unit: Tensor) -> Tensor:
    """Cosines between vectors of length 1 (B, N, C), less the identity, (B, N, N)."""
    return unit @ unit.mT - torch.eye(unit.shape[1], dtype=unit.dtype, device=unit.device)


def rescaled(values: Tensor) -> Tensor:
    """(B, N) to 0..1 over the frames."""
    low, high = values.amin(-1, keepdim=True), values.amax(-1, keepdim=True)
    return (values - low) / (high - low + 1e-8)


REFERENCES: dict[str, Reference] = {
    "saddle_balanced": balanced_frame,
    "saddle_sim_range": widest_range_frame,
    "first": first_frame,
    "middle": middle_frame,
}
