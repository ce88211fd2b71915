"""How far every sparse backend is from float64, over number formats, head widths and shapes.

    python benchmarks/exactness.py --out exactness.json                        what this machine has
    TRITON_INTERPRET=1 python benchmarks/exactness.py --small --out FILE       the Triton kernel on a CPU, tiny shapes

A row is one backend, format and shape: random numbers, a random choice of half of the blocks, and the distance of all
patch outputs from the formula in float64 on the same rounded inputs, over their norm. Beside it stands that of
PyTorch's dense attention on the same inputs: what the format itself costs.
"""

import argparse
import functools
import json
import platform
import runpy
import sys
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

ROOT = Path(__file__).resolve().parents[1]
runpy.run_path(str(ROOT / "__main__.py"), run_name="manyview_registration")

from manyview.evaluation.speed.kernels import (  # noqa: E402
    Layer,
    kernels,
    random_centroids,
    random_index,
    random_layer,
    without_special,
)
from manyview.models.attention import TokenLayout  # noqa: E402
from manyview.models.sparse import BlockLayout, libraries  # noqa: E402
from manyview.models.sparse.blocks import patch_tokens  # noqa: E402
from manyview.models.sparse.cpu import sparse_attention_torch  # noqa: E402
from manyview.models.sparse.reference import sparse_attention_reference  # noqa: E402

LAYOUTS = (TokenLayout(3, 5, 37, 37), TokenLayout(7, 6, 23, 31), TokenLayout(2, 5, 16, 16), TokenLayout(11, 0, 9, 10))
SMALL = (TokenLayout(2, 2, 5, 7), TokenLayout(3, 0, 4, 4))
FORMATS = (torch.float32, torch.bfloat16, torch.float16)
WIDTHS = (32, 48, 64, 128)
HEADS, KEEP = 2, 0.5


def makers(device: torch.device, small: bool) -> list[tuple[str, tuple[int, int], bool, int, bool, Any]]:
    """(name, blocks, framed, centroid block, takes special tokens, what makes the work) of all to be compared."""
    scale = 8 if small else 1
    found = [
        ("torch", (128 // scale, 64 // scale), False, 0, True, plain),
        ("torch, centroids", (64 // scale, 32 // scale), True, 64 // scale, True, plain),
    ]
    for kernel in kernels(device):
        if kernel.blocks is not None:
            found.append(
                (kernel.name, kernel.blocks, kernel.framed, kernel.centroid_block, kernel.special, kernel.make)
            )
    if small and libraries.missing("triton") is None:
        from manyview.evaluation.speed.kernels import in_place

        triton = functools.partial(in_place, "triton")

        found += [("ManyView, Triton", (16, 8), False, 0, True, triton)]
        found += [("ManyView, Triton, centroids", (8, 4), True, 8, True, triton)]
    return found


def plain(layer: Layer, blocks: BlockLayout, index: Any, centroids: Any) -> Any:
    return lambda: sparse_attention_torch(*layer.operands, index, blocks, centroids)


def error(layer: Layer, blocks: BlockLayout, centroid_block: int, make: Any) -> float:
    """The backend's relative distance from float64 over all patches."""
    index = random_index(blocks, HEADS, KEEP, layer.query.device, centroid_block > 0)
    centroids = random_centroids(layer, blocks) if centroid_block else None
    out = make(layer, blocks, index, centroids)()
    if out.shape[2] == layer.query.shape[2] and blocks.layout.special:
        out = patch_tokens(out, blocks)
    exact_centroids = None
    if centroids is not None:
        exact_centroids = type(centroids)(*(x.double() for x in (centroids.key, centroids.spread, centroids.value)))
    exact, _ = sparse_attention_reference(*(x.double() for x in layer.operands), index, blocks, exact_centroids)
    return float((out.double() - exact).norm() / exact.norm())


def dense_error(layer: Layer) -> float:
    """That of PyTorch's dense attention."""
    out = scaled_dot_product_attention(*layer.operands)
    exact = scaled_dot_product_attention(*(x.double() for x in layer.operands))
    return float((out.double() - exact).norm() / exact.norm())


def main() -> None:
    """Print a line a row and write them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="tiny shapes and blocks, for Triton's interpreter")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows: list[dict[str, Any]] = []
    for layout in SMALL if options.small else LAYOUTS:
        for dtype in FORMATS:
            for width in (32, 64) if options.small else WIDTHS:
                layer = random_layer(layout, HEADS, width, dtype, device)
                for name, size, framed, centroid_block, special, make in makers(device, options.small):
                    used = layer if special else without_special(layer)
                    blocks = BlockLayout(used.layout, *size, framed, group=max(1, centroid_block // size[1]))
                    row: dict[str, Any] = {
                        "backend": name, "blocks": size, "format": str(dtype).removeprefix("torch."), "width": width,
                        "frames": layout.frames, "special": layout.special, "grid": [layout.height, layout.width],
                    }  # fmt: skip
                    try:
                        row |= {"error": error(used, blocks, centroid_block, make), "dense_error": dense_error(used)}
                    except Exception as reason:  # a backend that cannot take this: the others are still worth a row
                        row["reason"] = f"{type(reason).__name__}: {reason}".splitlines()[0][:200]
                    rows.append(row)
                    print(json.dumps(row), flush=True)
    print("\nworst error, and over dense attention's on the same inputs:")
    for key in sorted({(row["backend"], row["format"]) for row in rows if "error" in row}):
        own = [row for row in rows if (row["backend"], row["format"]) == key and "error" in row]
        worst = max(own, key=lambda row: row["error"])
        print(f"{key[0]:32} {key[1]:9} {worst['error']:.1e}  {max(r['error'] / r['dense_error'] for r in own):.2f}")
    if options.out:
        name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
        about = {"command": " ".join(["python", *sys.argv]), "device": name, "torch": torch.__version__}
        options.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
