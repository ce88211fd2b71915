"""Sparse attention in a public VGGT or Pi3 object that somebody already has loaded; our own models need none of this.

The one place where a forward is replaced: that of the attention modules of the global blocks. Weights and state_dict
stay as they are, and `restore` brings back the object as it was.
"""

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..aggregator import stack_densities
from ..attention import GlobalAttention, TokenLayout

ATTENTION_PARTS = ("qkv", "q_norm", "k_norm", "proj", "num_heads")


class Retrofit:
    """What was put into a model: its figures, and the way back."""

    def __init__(self, model: nn.Module, forwards: list["SparseForward"]) -> None:
        self.model = model
        self._forwards = forwards

    @property
    def density(self) -> Tensor | None:
        """Share of query-key pairs computed in the last pass, (global layers, B, heads); None if all was dense."""
        return stack_densities([forward.density for forward in self._forwards])

    def restore(self) -> None:
        """Put the model's own attention back."""
        remove(self.model)


def retrofit(model: nn.Module, attention: GlobalAttention) -> Retrofit:
    """Let the global blocks of a public VGGT or Pi3 use `attention`, in place of what was put in before."""
    root, blocks = find_global_blocks(model)
    remove(model)
    watch = LayoutWatch(root.patch_start_idx, root.patch_size)
    root.register_forward_pre_hook(watch, with_kwargs=True)
    forwards = [SparseForward(block.attn, attention, watch, layer) for layer, block in enumerate(blocks)]
    for forward in forwards:
        forward.module.forward = forward
    return Retrofit(model, forwards)


def remove(model: nn.Module) -> None:
    """Undo `retrofit`, also in a copy of the model; does nothing to a model without it."""
    for module in model.modules():
        if isinstance(module.__dict__.get("forward"), SparseForward):
            del module.forward
        for key, hook in list(module._forward_pre_hooks.items()):
            if isinstance(hook, LayoutWatch):
                del module._forward_pre_hooks[key]
                module._forward_pre_hooks_with_kwargs.pop(key, None)


def find_global_blocks(model: nn.Module) -> tuple[nn.Module, list[nn.Module]]:
    """The module that is called with the images, and the blocks whose attention runs over all frames."""
    if hasattr(model, "global_attention") or hasattr(getattr(model, "aggregator", None), "global_attention"):
        raise ValueError("This model takes its attention as an argument; build it with global_attention=BlockSparse().")
    root = getattr(model, "aggregator", model)
    if hasattr(root, "global_blocks"):
        blocks = list(root.global_blocks)
    elif hasattr(root, "decoder") and hasattr(root, "register_token"):
        blocks = list(root.decoder)[1::2]  # Pi3: frame and global blocks in turn
    else:
        raise ValueError(f"{type(model).__name__} is neither a VGGT nor a Pi3: it has no global blocks to make sparse.")
    lacking = [name for name in ("patch_start_idx", "patch_size") if not hasattr(root, name)]
    for block in blocks:
        lacking += [f"attn.{name}" for name in ATTENTION_PARTS if not hasattr(getattr(block, "attn", None), name)]
    if lacking or not blocks:
        raise ValueError(f"{type(model).__name__} is not built like the public model: it lacks {sorted(set(lacking))}.")
    return root, blocks


class LayoutWatch:
    """Notes the layout of the tokens whenever the model is called with images (B, N, 3, H, W)."""

    def __init__(self, special: int, patch_size: int) -> None:
        self.special = special
        self.patch_size = patch_size
        self.layout: TokenLayout | None = None

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        images = args[0] if args else next(iter(kwargs.values()))
        frames, _, height, width = images.shape[1:]
        self.layout = TokenLayout(frames, self.special, height // self.patch_size, width // self.patch_size)


class SparseForward:
    """Stands in for the forward of one public attention module.

    An object, not a function: copying the model copies it too, and the copy then works on the copied weights.
    """

    def __init__(self, module: nn.Module, attention: GlobalAttention, watch: LayoutWatch, layer: int) -> None:
        self.module = module
        self.attention = attention
        self.watch = watch
        self.layer = layer
        self.density: Tensor | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        attn = self.module
        given = self._arguments(*args, **kwargs)
        x = given.pop("x")
        rounds_first = "xpos" in given  # Pi3 rounds queries and keys before it turns them, VGGT after
        positions = given.pop("xpos", given.pop("pos", None))
        if any(value is not None for value in given.values()):
            raise ValueError(f"Sparse attention does not take {', '.join(given)}; restore() the model for that.")
        qkv = attn.qkv(x).unflatten(-1, (3, attn.num_heads, -1))  # (B, T, 3, heads, D)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, T, D) each
        query, key = attn.q_norm(query), attn.k_norm(key)
        if rounds_first:
            query, key = query.to(value.dtype), key.to(value.dtype)
        rope: Callable[[Tensor, Tensor], Tensor] | None = getattr(attn, "rope", None)
        if rope is not None:
            query, key = rope(query, positions), rope(key, positions)
        query, key = query.to(value.dtype), key.to(value.dtype)
        out, self.density = self.attention(query, key, value, self._layout(x), self.layer)
        out = attn.proj(out.transpose(1, 2).flatten(2))
        return attn.proj_drop(out) if hasattr(attn, "proj_drop") else out

    def _arguments(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What was given, by the names in the signature of the module's own forward."""
        given = inspect.signature(type(self.module).forward).bind(self.module, *args, **kwargs).arguments
        return {name: value for name, value in given.items() if name != "self"}

    def _layout(self, x: Tensor) -> TokenLayout:
        layout = self.watch.layout
        if layout is None or layout.frames * layout.tokens_per_frame != x.shape[1]:
            raise ValueError(
                f"{x.shape[1]} tokens do not fit the images last seen ({layout}); call the model, not a part of it."
            )
        return layout
