"""Running out of memory, told in words: PyTorch, NumPy and Python each raise something else, often without a text."""

OURS = "Out of memory: "  # how our own messages begin, which say what would fit
SIGNS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "unable to allocate",
    "cannot allocate memory",
    "bad_alloc",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU, an Apple chip or a processor."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError | OSError) and any(sign in text for sign in SIGNS)


def memory_sentence(error: BaseException, advice: str) -> str:
    """What to tell somebody whose memory ran out: our own message, if it is one, else the advice."""
    text = str(error)
    return text if text.startswith(OURS) else f"{OURS}{advice}"
