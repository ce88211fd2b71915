"""The seam where global attention is exchanged: a plain function of queries, keys and values.

A model is built as `VGGT(config, global_attention=function)`. The function has no parameters, so every choice loads the
same checkpoint, and nothing in the model is patched.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from . import hopper
from .packages import FLASH4, missing, quiet

PREPARED_TOKENS = 16_384  # of all sequences, from which on kernels are used that prepare themselves for a shape
CUDNN_FIRST = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


@dataclass(frozen=True)
class TokenLayout:
    """How the tokens of one sequence are arranged: frame after frame, each [special tokens | patches row by row].

    arranged: the patches of every frame stand in the order that the attention asked for, not row by row.
    """

    frames: int
    special: int
    height: int  # of the patch grid
    width: int
    arranged: bool = False

    @property
    def tokens_per_frame(self) -> int:
        return self.special + self.height * self.width


@dataclass(frozen=True)
class Heads:
    """Which heads of a layer an attention function is given, where other processes have the others.

    add_up: a tensor summed over all these processes, the same on each.
    """

    first: int
    count: int
    total: int
    add_up: Callable[[Tensor], Tensor]

    @classmethod
    def every(cls, count: int) -> "Heads":
        """All heads of a layer that is computed in one place."""
        return cls(0, count, count, lambda x: x)

    def own(self, values: tuple) -> tuple:
        """Those of one value for each head of the layer that belong to the heads here."""
        return values[self.first : self.first + self.count]


GlobalAttention = Callable[[Tensor, Tensor, Tensor, TokenLayout, int], tuple[Tensor, Tensor | None]]
"""(query, key, value, layout, layer) -> (output, density).

query, key, value and output are (B, heads, T, head width) with T = layout.frames * layout.tokens_per_frame; layer
counts the global layers from 0. density is (B, heads), the share of query-key pairs computed, or None if all were.

A function that needs to know which heads it is given has a method `on_heads`, the same call with `Heads` behind it.
"""


def patch_order(attention: GlobalAttention, layout: TokenLayout, device: torch.device) -> tuple[Tensor, Tensor] | None:
    """The order of a frame's tokens that an attention function works best with, and its inverse, (P,) each.

    Such a function has a method `patch_order`; None for any other. Applied once to the tokens of all frames, it spares
    the function the same work in every layer.
    """
    wanted = getattr(attention, "patch_order", None)
    orders = None if wanted is None else wanted(layout, device)
    if orders is None:
        return None
    special = torch.arange(layout.special, device=device)
    return tuple(torch.cat([special, order + layout.special]) for order in orders)


def dense_attention(
    query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout | None = None, layer: int = 0
) -> tuple[Tensor, None]:
    """Softmax attention over all tokens by the fastest kernel there is; the layout does not matter to it."""
    kernel = fastest_kernel(query, key)
    if kernel == "Hopper":
        return hopper.attend_all_keys(query, key, value), None
    if kernel == "flash-attn-4":
        from flash_attn.cute.interface import flash_attn_func

        with quiet():
            out = flash_attn_func(*(x.transpose(1, 2) for x in (query, key, value)))
        return (out[0] if isinstance(out, tuple) else out).transpose(1, 2), None
    if kernel == "cuDNN":
        with sdpa_kernel(CUDNN_FIRST, set_priority=True):
            return scaled_dot_product_attention(query, key, value), None
    return scaled_dot_product_attention(query, key, value), None


def fastest_kernel(query: Tensor, key: Tensor) -> str:
    """ "flash-attn-4" where it is installed, "Hopper", "cuDNN", or "SDPA", PyTorch's own choice.

    In 16 bits on a Hopper GPU flash-attn-4 is three quarters faster than FlashAttention-2, which some versions of
    PyTorch take, our own kernel for long sequences two thirds, and cuDNN a third. All prepare themselves, some for
    every new shape, which short inputs would not pay back.
    """
    tokens = query.shape[0] * max(query.shape[2], key.shape[2])
    if not query.is_cuda or query.element_size() != 2 or tokens < PREPARED_TOKENS or torch.compiler.is_compiling():
        return "SDPA"
    if torch.version.hip is not None:  # AMD GPUs answer as "cuda" too
        return "SDPA"
    generation = torch.cuda.get_device_capability(query.device)[0]
    if generation < 9:
        return "SDPA"
    trains = torch.is_grad_enabled() and query.requires_grad
    if generation in (9, 10) and query.shape[-1] in (64, 128) and not trains and missing(FLASH4) is None:
        return "flash-attn-4"
    return "Hopper" if not trains and hopper.pays(query, key) else "cuDNN"
