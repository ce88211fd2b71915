"""Data sets as released, each an adapter in a file of its own; `benchmark` finds one by name."""
