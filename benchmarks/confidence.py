"""Confidence against accuracy: rendered scenes that training never saw, and the bundled sample.

    python benchmarks/confidence.py [--model mini] [--scenes 16] [--out benchmarks/results/confidence.json]

A row for each scene: mean confidence and verdict, AUC@30 of the camera pairs, AbsRel of depth in percent. The limits in
scene/verdict.py are chosen from such rows; docs/confidence.md says how. Dense attention, on the CPU.
"""

import argparse
import json
import platform
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FRAMES = (8, 4, 2)


def main() -> None:
    """Print the rows, and write them where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--scenes", type=int, default=16, help="rendered scenes for each number of frames")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    runpy.run_path(str(ROOT / "__main__.py"), run_name="manyview_registration")
    rows = []
    for row in measure(arguments.model, arguments.scenes):
        print(json.dumps(row), flush=True)
        rows.append(row)
    if arguments.out is not None:
        about = {"command": " ".join(sys.argv), "device": platform.processor() or platform.machine()}
        arguments.out.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n", encoding="utf-8")


def measure(name: str, scenes: int) -> Iterator[dict]:
    """The rows, one by one."""
    import numpy as np

    from manyview.evaluation.datasets.synthetic import Synthetic
    from manyview.evaluation.metrics import auc, depth_errors, pair_errors
    from manyview.nodes.load_images import collect_images, load_images
    from manyview.nodes.load_model import load_model
    from manyview.nodes.reconstruct import reconstruct
    from manyview.scene.verdict import verdict

    model = load_model(name, device="cpu")
    side = model.model.config.encoder.image_size

    def row(scene: str, found) -> dict:
        said = verdict(found)
        return {"scene": scene, "frames": len(found), "confidence": round(said.confidence, 4), "verdict": said.level}

    for frames in (12, 4, 2):
        yield row("sample", reconstruct(model, load_images(ROOT / "sample", model=model, limit=frames)))
    for frames in FRAMES:
        for scene in (data := Synthetic(frames, scenes, (side, side))).scenes():
            given = data.load(scene)
            found = reconstruct(model, collect_images([given.images.permute(0, 2, 3, 1)], model=model))
            errors = np.maximum(*pair_errors(found.world_to_camera, given.truth.world_to_camera))
            depth = depth_errors(found.depth, given.truth.depth, given.truth.valid)
            accuracy = {"auc_30": round(100 * auc(errors, 30), 1), "abs_rel": round(100 * depth["abs_rel"], 1)}
            yield row(f"rendered {scene}", found) | accuracy


if __name__ == "__main__":
    main()
