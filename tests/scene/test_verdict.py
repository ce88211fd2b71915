"""What is said of a scene by its confidence."""

import json
from pathlib import Path

import numpy as np
import pytest

from manyview.nodes.load_images import load_images
from manyview.nodes.load_model import load_model
from manyview.nodes.reconstruct import reconstruct
from manyview.nodes.report import report_text
from manyview.scene.export import write_npz
from manyview.scene.verdict import LIMITS, confidence_of_views, verdict

GOOD, GUESS = LIMITS["mini"]


@pytest.mark.parametrize(
    ("model", "confidence", "level"),
    [
        ("mini", GOOD + 0.001, "good"),
        ("mini", GOOD - 0.001, "doubtful"),
        ("mini", GUESS + 0.001, "doubtful"),
        ("mini", GUESS - 0.001, "a guess"),
        ("mini", 0.0, "a guess"),
        ("vggt-1b", 0.9, "not rated"),
        ("vggt-1b", 0.001, "a guess"),
    ],
)
def test_levels_follow_the_mean_of_usable_pixels(make_room, model: str, confidence: float, level: str) -> None:
    masks = np.zeros((4, 42, 56), dtype=bool)
    masks[:, :10] = True
    room = make_room(model=model, masks=masks)
    room.confidence[:] = 0.99
    room.confidence[masks] = confidence
    found = verdict(room)
    assert (found.level, found.confidence) == (level, pytest.approx(confidence))
    assert bool(found.advice) == (level in ("doubtful", "a guess"))
    assert f"confidence {confidence:.2f} on average" in found.numbers


def test_a_scene_without_a_usable_pixel_is_a_guess(make_room) -> None:
    room = make_room(model="mini", masks=np.zeros((4, 42, 56), dtype=bool))
    assert verdict(room).level == "a guess" and confidence_of_views(room) == [0.0] * 4


def test_the_bundled_model_is_sure_of_the_bundled_sample_and_of_nothing_in_noise(root: Path, tmp_path: Path) -> None:
    model = load_model("mini", device="cpu")
    scene = reconstruct(model, load_images(root / "sample", model=model, limit=3))
    assert verdict(scene).level == "good" and "verdict: good" in report_text(scene)
    scene.confidence[:] = np.random.default_rng(0).random(scene.confidence.shape, dtype=np.float32) * 0.02
    assert "verdict: a guess" in report_text(scene) and "overlap more" in report_text(scene)
    write_npz(scene, tmp_path / "scene.npz")
    with np.load(tmp_path / "scene.npz") as file:
        assert json.loads(str(file["meta"]))["verdict"] == verdict(scene).to_dict()
