"""Results of nodes that are kept in memory, the most recently used ones up to so many bytes."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Set
from typing import Any

import numpy as np
import torch

from ..models.checkpoints import LoadedModel

Kept = tuple[tuple[list[Any], ...], dict[str, list]]
MOST_BYTES = 8 * 2**30


class Results:
    """Outputs and shown things by key; threads may share one."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._kept: OrderedDict[str, tuple[Kept, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> Kept | None:
        """What is kept under the key, or None."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: str, outputs: tuple[list[Any], ...], ui: dict[str, list]) -> None:
        """Keep a result."""
        with self._lock:
            self._kept[key] = ((outputs, ui), size_of(outputs))

    def trim(self, keep: Set[str] = frozenset()) -> None:
        """Drop the longest unused results until the rest fits; those in `keep` stay whatever they need."""
        with self._lock:
            size = sum(each for _, each in self._kept.values())
            for key in list(self._kept):
                if size <= self.most_bytes:
                    return
                if key not in keep:
                    size -= self._kept.pop(key)[1]

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._kept.clear()


def size_of(value: Any) -> int:
    """Bytes of the arrays in a value, each counted once."""
    arrays = {id(each): each for each in _arrays(value)}
    return sum(each.nbytes for each in arrays.values())


def _arrays(value: Any) -> Iterator[np.ndarray | torch.Tensor]:
    if isinstance(value, np.ndarray | torch.Tensor):
        yield value
    elif isinstance(value, LoadedModel):
        yield from value.model.parameters()
    elif isinstance(value, dict):
        for each in value.values():
            yield from _arrays(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _arrays(each)
