"""One scene over several GPUs: frames are dealt out, and for global attention heads take the place of frames.

Every process of a torch.distributed group holds the whole model and some consecutive frames. Encoder, frame blocks and
dense heads know nothing of it. Before a global layer the queries, keys and values of a process' frames and all heads
are exchanged for those of all frames and some heads, afterwards the outputs go the way back, so any attention function
sees whole sequences. The processes are started by torchrun, or by the option --gpus of a command.

    parallel = FrameParallel(len(images))                       # in each process, on the same images
    output = model(parallel.own_frames(images, 0), parallel=parallel)
    whole = parallel.gather(output)                             # on the first process' host; None on the others
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from .attention import GlobalAttention, Heads, TokenLayout

GATHERED_AT_ONCE_BYTES = 2**28  # of results on their way to the host
FRAME_AXES = {"pose_passes": 2}  # fields of outputs are (B, N, ...), but for these; density has no frames
Array = TypeVar("Array")  # a tensor or a numpy array
Output = TypeVar("Output")


class FrameParallel:
    """How one scene of so many frames is split over the processes of a group (None: all that there are).

    The first processes have one frame more where it does not come out even. ValueError if a process would have none.
    """

    def __init__(self, frames: int, group: "dist.ProcessGroup | None" = None) -> None:
        if not dist.is_available() or not dist.is_initialized():
            raise ValueError("Several GPUs need torch.distributed; start the program with torchrun.")
        self.group = group
        self.rank, self.ranks = dist.get_rank(group), dist.get_world_size(group)
        if frames < self.ranks:
            raise ValueError(
                f"{frames} frames cannot be split over {self.ranks} GPUs; take at most one for each frame."
            )
        self.counts = split(frames, self.ranks)  # frames of each process
        self.frames = frames

    @property
    def count(self) -> int:
        """Frames of this process."""
        return self.counts[self.rank]

    @property
    def start(self) -> int:
        """The first frame of this process."""
        return sum(self.counts[: self.rank])

    @property
    def has_first_frame(self) -> bool:
        return self.rank == 0

    def own_frames(self, x: Array, dim: int = 1) -> Array:
        """The part of a tensor or array of all frames that belongs to this process, a view."""
        return x[(slice(None),) * dim + (slice(self.start, self.start + self.count),)]

    def attention(self, attend: GlobalAttention, heads: int) -> "SplitAttention":
        """The same attention for queries, keys and values of this process' frames only."""
        if heads % self.ranks:
            fitting = ", ".join(str(ranks) for ranks in range(1, heads + 1) if heads % ranks == 0)
            raise ValueError(f"{heads} heads of attention cannot be split over {self.ranks} GPUs; take {fitting}.")
        share = heads // self.ranks
        return SplitAttention(self, attend, Heads(self.rank * share, share, heads, self.add_up))

    def add_up(self, x: Tensor) -> Tensor:
        """The sum over all processes."""
        x = x.clone()
        dist.all_reduce(x, group=self.group)
        return x

    def largest(self, number: int) -> int:
        """The largest of one number of each process."""
        found = torch.tensor([number], device=message_device(self.group))
        return max(int(each) for each in self._all(found))

    def all_frames(self, x: Tensor) -> Tensor:
        """(B, n, ...) of this process' frames -> (B, N, ...) of all, on every process."""
        room = x.new_zeros(x.shape[0], max(self.counts), *x.shape[2:])  # collectives want equal sizes
        room[:, : self.count] = x
        parts = zip(self._all(room), self.counts, strict=True)
        return torch.cat([part[:, :count] for part, count in parts], dim=1)

    def all_heads(self, x: Tensor) -> Tensor:
        """(B, some heads) -> (B, all heads), on every process."""
        return torch.cat(self._all(x.contiguous()), dim=1)

    def exchange(self, x: Tensor, sent: list[int], received: list[int]) -> Tensor:
        """Rows of x (contiguous), the first sent[0] to process 0 and so on -> the rows received, in their order."""
        out = x.new_empty(sum(received), *x.shape[1:])
        # as bytes, since gloo does not know every type
        dist.all_to_all_single(as_bytes(out), as_bytes(x), received, sent, group=self.group)
        return out

    @torch.no_grad()
    def gather(self, output: Output) -> Output | None:
        """The output of all frames, on the first process' host; None on the others."""
        whole = {}
        for field in fields(output):
            part = getattr(output, field.name)
            if part is not None:
                is_density = field.name == "density"  # which every process has
                whole[field.name] = part.cpu() if is_density else self._to_host(part, FRAME_AXES.get(field.name, 1))
        return replace(output, **whole) if self.rank == 0 else None

    def _to_host(self, part: Tensor, dim: int) -> Tensor | None:
        """One tensor of all frames on the first process' host, some frames of every process at a time."""
        part = part.movedim(dim, 0)  # (n, ...)
        is_first, device = self.rank == 0, message_device(self.group)
        whole = torch.empty(self.frames, *part.shape[1:], dtype=part.dtype) if is_first else None
        at_once = max(1, GATHERED_AT_ONCE_BYTES // (self.ranks * part[0].numel() * part.element_size()))
        for start in range(0, max(self.counts), at_once):
            lengths = [min(max(count - start, 0), at_once) for count in self.counts]
            sent, received = [lengths[self.rank]] + [0] * (self.ranks - 1), lengths if is_first else [0] * self.ranks
            pieces = self.exchange(part[start : start + at_once].to(device).contiguous(), sent, received)
            if whole is not None:
                for own, piece in zip(whole.split(self.counts), pieces.split(lengths), strict=True):
                    own[start : start + len(piece)] = piece
        return None if whole is None else whole.movedim(0, dim).contiguous()

    def _all(self, x: Tensor) -> list[Tensor]:
        """What every process gives, in their order; equal shapes."""
        parts = [torch.empty_like(x) for _ in range(self.ranks)]
        dist.all_gather([as_bytes(part) for part in parts], as_bytes(x), group=self.group)
        return parts


def is_first() -> bool:
    """True in the first of several processes, and where there is only one."""
    return not dist.is_available() or not dist.is_initialized() or dist.get_rank() == 0


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Inside, this process is one of those that torchrun started together; gives the device that is its own."""
    if not dist.is_available():
        raise ValueError("This PyTorch comes without torch.distributed, which several GPUs need; use one GPU.")
    if device.type not in ("cuda", "cpu"):
        raise ValueError(f"Several processes work on CUDA GPUs or on the CPU, not on {device.type!r}; use one process.")
    if device.type == "cuda" and not dist.is_nccl_available():
        raise ValueError("Several GPUs need NCCL, which this PyTorch lacks (it is for Linux only); use one GPU.")
    if device.type == "cuda":
        device = torch.device("cuda", dist.get_node_local_rank())
        if device.index >= torch.cuda.device_count():
            raise ValueError(
                f"There is no GPU number {device.index}: PyTorch sees {torch.cuda.device_count()} of them."
            )
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")
    yield device
    dist.destroy_process_group()  # not after an error: the others may still wait for this process


class SplitAttention:
    """A GlobalAttention for the frames of one process, by another that sees all frames and some heads."""

    def __init__(self, parallel: FrameParallel, attend: GlobalAttention, heads: Heads) -> None:
        self.parallel = parallel
        self.attend = attend
        self.heads = heads

    def patch_order(self, layout: TokenLayout, device: torch.device) -> tuple[Tensor, Tensor] | None:
        """What the attention itself asks for, seen with all frames."""
        wanted, layout = getattr(self.attend, "patch_order", None), self.whole(layout)
        return None if wanted is None else wanted(layout, device)

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int
    ) -> tuple[Tensor, Tensor | None]:
        if torch.is_grad_enabled() and query.requires_grad:
            raise ValueError("Several GPUs work without gradients only; use torch.inference_mode().")
        layout = self.whole(layout)
        tokens = [count * layout.tokens_per_frame for count in self.parallel.counts]
        operands = self.to_heads(query, key, value, tokens)
        on_heads = getattr(self.attend, "on_heads", None)
        if on_heads is None:
            out, density = self.attend(*operands, layout, layer)
        else:
            out, density = on_heads(*operands, layout, layer, self.heads)
        del operands
        out = self.to_frames(out, tokens)
        return out, None if density is None else self.parallel.all_heads(density)

    def whole(self, layout: TokenLayout) -> TokenLayout:
        """The layout of all frames, from that of this process' frames."""
        if layout.frames != self.parallel.count:
            raise ValueError(
                f"Process {self.parallel.rank} has {self.parallel.count} of {self.parallel.frames} frames, got "
                f"{layout.frames}; pass own_frames(images)."
            )
        return replace(layout, frames=self.parallel.frames)

    def to_heads(self, query: Tensor, key: Tensor, value: Tensor, tokens: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """(B, heads, t, D) three times -> (B, heads / ranks, T, D) three times, views of what came in one exchange.

        tokens: of each process. A token stands before its heads, so that what comes from several processes needs no
        rearranging.
        """
        batch, _, own, width = query.shape
        ranks, share = self.parallel.ranks, self.heads.count
        packed = query.new_empty(ranks, own, 3, batch, share, width)
        for number, x in enumerate((query, key, value)):
            packed[:, :, number] = x.unflatten(1, (ranks, share)).permute(1, 3, 0, 2, 4)  # (ranks, t, B, share, D)
        received = self.parallel.exchange(packed.flatten(0, 1), [own] * ranks, tokens)  # (T, 3, B, share, D)
        return received.permute(1, 2, 3, 0, 4).unbind(0)

    def to_frames(self, out: Tensor, tokens: list[int]) -> Tensor:
        """(B, heads / ranks, T, D) -> (B, heads, t, D) with a token's heads side by side."""
        ranks, own = self.parallel.ranks, tokens[self.parallel.rank]
        sent = out.permute(2, 0, 1, 3).contiguous()  # (T, B, share, D)
        received = self.parallel.exchange(sent, tokens, [own] * ranks)
        received = received.unflatten(0, (ranks, own)).permute(2, 1, 0, 3, 4)  # (B, t, ranks, share, D)
        return received.flatten(2, 3).transpose(1, 2)


def split(frames: int, ranks: int) -> list[int]:
    """Frames of each process."""
    least, more = divmod(frames, ranks)
    return [least + (rank < more) for rank in range(ranks)]


def message_device(group: "dist.ProcessGroup | None") -> torch.device:
    """Where tensors have to be to travel in a group."""
    if dist.get_backend(group) == "gloo":
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def as_bytes(x: Tensor) -> Tensor:
    """A view of a contiguous tensor of at least one axis."""
    return x.view(torch.uint8)
