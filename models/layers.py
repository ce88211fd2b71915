"""The transformer block that every part of VGGT and Pi3 is made of.

Weights may be float32, bfloat16 or float16; the residual stream is float32 in any case, as in the public inference
under autocast. Nothing here synchronises with the device or looks at tensor values, so blocks compile whole.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import GlobalAttention, TokenLayout, dense_attention
from .config_fields import check_heads
from .lean import may_overwrite, run_block
from .rope import RopeTable, apply_rope


class LayerNorm(nn.LayerNorm):
    """Layer normalisation computed in float32 at least; the result has the type of the weights."""

    def forward(self, x: Tensor) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)
        weight, bias = self.weight.to(dtype), self.bias.to(dtype)
        return functional.layer_norm(x.to(dtype), self.normalized_shape, weight, bias, self.eps).to(self.weight.dtype)


class LayerScale(nn.Module):
    """A learnt factor for each channel."""

    def __init__(self, width: int, initial: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), float(initial)))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Mlp(nn.Module):
    """Two linear layers with the exact (erf) GELU between them."""

    def __init__(self, width: int, hidden: int, outputs: int | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, outputs or width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class Attention(nn.Module):
    """Multi-head self-attention; the attention proper is a function that the caller may exchange."""

    def __init__(self, width: int, heads: int, *, qk_norm: bool = False) -> None:
        super().__init__()
        check_heads(width, heads, turned=False)
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm = LayerNorm(width // heads) if qk_norm else nn.Identity()
        self.k_norm = LayerNorm(width // heads) if qk_norm else nn.Identity()
        self.proj = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        rope: RopeTable | None = None,
        attend: GlobalAttention = dense_attention,
        layout: TokenLayout | None = None,
        layer: int = 0,
    ) -> tuple[Tensor, Tensor | None]:
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (B, T, 3, heads, D)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, T, D) each
        query, key = self.q_norm(query), self.k_norm(key)
        if rope is not None:
            query, key = apply_rope(query, rope), apply_rope(key, rope)
        query, key = query.to(value.dtype), key.to(value.dtype)
        out, density = attend(query, key, value, layout, layer)
        return self.proj(out.transpose(1, 2).flatten(2)), density


class Block(nn.Module):
    """Pre-norm transformer block: x += scale * attention(norm(x)); x += scale * mlp(norm(x)).

    `layer_scale` is the initial value of both scales, None for a block without them.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        mlp_ratio: float = 4.0,
        norm_eps: float = 1e-5,
        qk_norm: bool = False,
        layer_scale: float | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width, eps=norm_eps)
        self.attn = Attention(width, heads, qk_norm=qk_norm)
        self.ls1 = nn.Identity() if layer_scale is None else LayerScale(width, layer_scale)
        self.norm2 = LayerNorm(width, eps=norm_eps)
        self.mlp = Mlp(width, int(width * mlp_ratio))
        self.ls2 = nn.Identity() if layer_scale is None else LayerScale(width, layer_scale)
        self.apply(initialise_linear)

    def forward(
        self,
        x: Tensor,
        rope: RopeTable | None = None,
        attend: GlobalAttention = dense_attention,
        layout: TokenLayout | None = None,
        layer: int = 0,
        *,
        overwrite: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, C) -> the same, and the density that `attend` reports (None where it is dense).

        `overwrite` allows the result to take x's place in memory, which happens where no gradients are wanted. `rope`
        has a row for every token, or those of one frame.
        """
        if overwrite and may_overwrite() and x.is_contiguous():
            return x, run_block(self, x, rope, attend, layout, layer)
        attended, density = self.attn(self.norm1(x), rope, attend, layout, layer)
        x = x + self.ls1(attended)
        x = x + self.ls2(self.mlp(self.norm2(x)))
        return x, density


def initialise_token(token: nn.Parameter, std: float) -> None:
    """Start for training from scratch: normal numbers. (On the meta device that would load torch's compiler first.)"""
    if not token.is_meta:
        nn.init.normal_(token, std=std)


def initialise_linear(module: nn.Module) -> None:
    """Start for training from scratch: truncated normal of 0.02, biases zero."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
