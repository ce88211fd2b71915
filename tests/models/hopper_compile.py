"""Compile the kernel for Hopper GPUs where there is none, in a process of its own: without Triton's interpreter.

python tests/models/hopper_compile.py prints a line for each variant: queries and shared memory of a program, spilled
bytes, and whether the assembler lets matrix products wait for each other for want of registers.
"""

import contextlib
import io
import os
import re
import runpy
from pathlib import Path

os.environ |= {"TRITON_DUMP_PTXAS_LOG": "1", "TRITON_ALWAYS_COMPILE": "1"}

import triton
from triton.backends.compiler import GPUTarget
from triton.experimental.gluon._runtime import GluonASTSource
from triton.experimental.gluon.language import NVMMASharedLayout

runpy.run_path(str(Path(__file__).resolve().parents[2] / "__main__.py"), run_name="manyview_registration")

from manyview.models import hopper  # noqa: E402
from manyview.models.hopper_kernels import attend  # noqa: E402

NAMES = attend.arg_names
KINDS = {
    "q_ptr": "*bf16", "o_ptr": "*bf16", "left_ptr": "*fp32", "lse_ptr": "*fp32", "scale": "fp32",
}  # fmt: skip
ALIGNED = ("q_batch", "q_head", "q_row", "o_batch", "o_head", "o_row")


def compile_for_hopper(query_block: int, key_block: int, listed: bool, pooled: bool) -> str:
    shape = hopper.shape_for(query_block)
    constants = {
        "PARTS": 1, "SPECIAL": 5 if listed else 0, "WARP_GROUPS": shape.groups, "D": 64, "TILE": hopper.TILE,
        "BLOCK": key_block, "STAGES": shape.stages, "LISTED": listed, "POOLED": pooled, "OVERLAP": shape.overlap,
        "REGISTERS": shape.registers,
    }  # fmt: skip

    def kind(name: str) -> str:
        if name in constants:
            return "constexpr"
        if name.endswith("_desc"):
            rows = key_block if name in ("k_desc", "v_desc") else hopper.TILE
            return f"tensordesc<bf16[1, 1, {rows}, 64],{NVMMASharedLayout(128, 16, 4)!r}>"
        if name == "left_ptr" and not pooled:
            return "*i32"
        return KINDS.get(name, "*i32" if name.endswith("_ptr") else "i32")

    at = {name: (place,) for place, name in enumerate(NAMES)}
    aligned = {at[name]: [["tt.divisibility", 16]] for name in NAMES if name.endswith("_ptr") or name in ALIGNED}
    values = {at[name]: value for name, value in constants.items()}
    source = GluonASTSource(attend, {name: kind(name) for name in NAMES}, values, aligned)
    options = {"num_warps": 4, "maxnreg": shape.limit, "enable_fp_fusion": True}
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    text, said = made.asm["ptx"], said.getvalue()
    assert "wgmma.mma_async" in text and "cp.async.bulk.tensor" in text and "setmaxnreg" in text
    spilled = re.search(r"(\d+) bytes spill stores", said)[1]
    return f"{shape.queries} {made.metadata.shared} {spilled} {'serialized' in said}"


if __name__ == "__main__":
    for variant in ((192, hopper.TILE, False, False), (128, 64, True, False), (64, 32, True, True)):
        print(compile_for_hopper(*variant))
