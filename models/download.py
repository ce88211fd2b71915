"""Fetching checkpoints from Hugging Face, when the user says so.

The only file of the package that touches the network, and only in `download_checkpoint`. The ComfyUI registry's archive
leaves it out: there the page offers the download.
"""

import hashlib
import logging
import os
from pathlib import Path

from ..texts.paths import named_path
from .catalog import Checkpoint, missing_message
from .progress import Progress

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 24


def download_checkpoint(
    checkpoint: Checkpoint, folder: str | os.PathLike | None = None, progress: Progress | None = None
) -> Path:
    """Fetch the file through huggingface_hub (resumed if it was interrupted), check its hash, and return its path.

    It goes into Hugging Face's cache, or into `folder` if one is given. HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE and the
    login of huggingface_hub count. Raises OSError that says how to get the file by hand.
    """
    if checkpoint.repo is None:
        raise OSError(missing_message(checkpoint, folder, "there is nothing to download"))
    try:
        from huggingface_hub import errors, hf_hub_download
    except ImportError as error:
        raise ImportError("Downloading weights needs huggingface_hub: pip install huggingface_hub") from error

    logger.warning(checkpoint.notice)
    options = {} if folder is None else {"local_dir": named_path(folder) / checkpoint.name}
    if progress is not None:
        options["tqdm_class"] = _progress_bar(progress, f"download {checkpoint.name}")
    try:
        path = Path(hf_hub_download(checkpoint.repo, checkpoint.filename, revision=checkpoint.revision, **options))
    except errors.GatedRepoError as error:
        page = checkpoint.url.partition("/resolve/")[0]
        reason = f"its owner asks you to accept the licence at {page} first and to log in (`hf auth login`)"
        raise OSError(missing_message(checkpoint, folder, reason)) from error
    except (OSError, ValueError, errors.HTTPError) as error:
        raise OSError(missing_message(checkpoint, folder, f"the download failed: {_first_line(error)}")) from error
    _check_hash(path, checkpoint, progress)
    return path


def _check_hash(path: Path, checkpoint: Checkpoint, progress: Progress | None) -> None:
    if checkpoint.sha256 is None:
        return
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            if progress is not None:
                progress(f"check {checkpoint.name}", done, total)
    if digest.hexdigest() != checkpoint.sha256:
        raise OSError(
            f"The download {path} is not the file that was published (SHA-256 {digest.hexdigest()}, expected "
            f"{checkpoint.sha256}); delete it and try again."
        )


def _progress_bar(progress: Progress, stage: str) -> type:
    """A tqdm class that draws nothing and reports to `progress` instead."""
    from tqdm import tqdm

    class Reporter(tqdm):
        def __init__(self, *args, **options) -> None:
            options.pop("name", None)  # huggingface_hub names its bars, tqdm knows no names
            super().__init__(*args, **{**options, "disable": True})

        def update(self, n: float = 1) -> None:
            self.n += n
            progress(stage, int(self.n), int(self.total or 0))

    return Reporter


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
