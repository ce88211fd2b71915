"""Running out of memory is told in words, everywhere."""

import pytest
import torch

from manyview.demo.server import sentence
from manyview.texts.memory import is_out_of_memory, memory_sentence


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes."), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
            True,
        ),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_our_own_message_is_kept() -> None:
    ours = torch.OutOfMemoryError("Out of memory: 20 views need 5 GiB. What should fit: set limit to 4.")
    assert memory_sentence(ours, "use less.") == str(ours)
    assert memory_sentence(MemoryError(), "use less.") == "Out of memory: use less."
    assert sentence(MemoryError()).startswith("Out of memory: use fewer photos")
    assert sentence(ours) == str(ours)
