"""The commit of this copy, where it is a git checkout."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def commit() -> str | None:
    """The commit of the checkout, with " and changes" where files differ from it; None if it is no git checkout."""
    if not (ROOT / ".git").exists():
        return None
    head, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    return head and f"{head} and changes" if changes else head


def _git(*words: str) -> str | None:
    try:
        run = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):  # no git on this computer, or one that waits for something
        return None
    return run.stdout.strip() if run.returncode == 0 else None
