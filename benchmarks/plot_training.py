"""Plot a training log: python benchmarks/plot_training.py LOG.jsonl OUT.png (needs matplotlib)."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CURVES = (("auc_30", "AUC@30 (%)"), ("auc_5", "AUC@5 (%)"), ("abs_rel", "depth AbsRel (%)"))
COLORS = {8: "#1f6f8b", 24: "#c8553d"}


def main(log: Path, out: Path) -> None:
    entries = on_one_clock([json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()])
    losses = [entry for entry in entries if "total" in entry]
    figure, (left, *rest) = plt.subplots(1, 4, figsize=(15, 3.4), constrained_layout=True)
    for name in ("camera", "relative", "depth", "token_points"):
        left.plot([e["seconds"] / 60 for e in losses], [e[name] for e in losses], label=name.replace("_", " "), lw=1)
    left.set(title="training losses", yscale="log", xlabel="minutes")
    left.legend(fontsize=8)
    for axis, (name, title) in zip(rest, CURVES, strict=True):
        for frames, color in COLORS.items():
            points = [e for e in entries if e.get("evaluation") == frames]
            minutes = [e["seconds"] / 60 for e in points]
            axis.plot(minutes, [e[name] for e in points], "o-", color=color, label=f"{frames} frames")
        if name == "auc_30" and any("photos" in e for e in entries):
            photos = [e for e in entries if "photos" in e]
            minutes = [e["seconds"] / 60 for e in photos]
            axis.plot(minutes, [e["photos"]["mean"] for e in photos], "s-", color="#3a7d44", label="photo scenes")
        axis.set(title=title, xlabel="minutes", ylim=(0, None))
        axis.legend(fontsize=8)
    for axis in (left, *rest):
        axis.grid(alpha=0.3)
    figure.savefig(out, dpi=110)


def on_one_clock(entries: list[dict]) -> list[dict]:
    """The entries with `seconds` that go on where an earlier part of a paused run ended."""
    before = last = 0.0
    for entry in entries:
        if "plan" in entry and entry["seconds"] < last:  # the header of a part whose clock began anew
            before += last
        last = entry["seconds"]
        entry["seconds"] += before
    return entries


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
