"""The folder of everything that lives no longer than a demo, and those that a killed demo has left behind."""

import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)
PREFIX, LOCK = "manyview_demo_", "alive.lock"
YOUNG_S = 60  # a folder that has just been made may not have its lock yet


@contextmanager
def temporary_root() -> Iterator[Path]:
    """A new folder, locked while it is in use and deleted afterwards; those of demos that were killed go first."""
    forget_dead(Path(tempfile.gettempdir()))
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as root,
        FileLock(Path(root) / LOCK, timeout=0),
    ):
        yield Path(root)


def forget_dead(folder: Path) -> None:
    """Delete our own user's demo folders whose demo has ended without doing so; what cannot be told stays."""
    for root in folder.glob(f"{PREFIX}*"):
        try:
            if _is_ours(root) and (root / LOCK).is_file():
                with FileLock(root / LOCK, timeout=0):
                    _delete(root)
        except Timeout:
            continue  # its demo lives
        except OSError as error:
            logger.warning("%s is left behind by a demo that was killed, and cannot be deleted: %s", root, error)


def _is_ours(root: Path) -> bool:
    state = root.lstat()
    mine = not hasattr(os, "getuid") or state.st_uid == os.getuid()
    return stat.S_ISDIR(state.st_mode) and mine and time.time() - state.st_mtime > YOUNG_S


def _delete(root: Path) -> None:
    """All of a folder; the lock goes last, so that a demo that starts meanwhile knows what is going on."""
    for path in root.iterdir():
        if path.name == LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    logger.info("Deleted %s, which a demo that was killed had left behind.", root)
    shutil.rmtree(root, ignore_errors=True)
