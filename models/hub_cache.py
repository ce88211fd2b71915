"""What Hugging Face's cache on this computer holds. Nothing here touches the network.

The ComfyUI registry's archive leaves this file out together with download.py.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .catalog import Checkpoint


def in_hub_cache(checkpoint: "Checkpoint") -> Path | None:
    """The file in Hugging Face's cache on this computer, or None."""
    if checkpoint.repo is None:
        return None
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    for revision in (checkpoint.revision, "main"):
        found = try_to_load_from_cache(checkpoint.repo, checkpoint.filename, revision=revision)
        if isinstance(found, str) and Path(found).is_file():
            return Path(found)
    return None
