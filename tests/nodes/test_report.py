import numpy as np

from manyview.nodes.report import NOTES_SHOWN, notes_shown, report_text
from manyview.scene.images import load_images
from manyview.scene.reconstruction import Reconstruction


def test_the_report_ends_with_what_was_left_out(photos):
    (photos / "z.jpg").write_text("no photo")
    views = load_images(photos, resolution=56)
    assert views.notes == ("left out: z.jpg is a text file, not a picture.",)
    arrays = {name: views.images[..., 0].astype("float32") for name in ("depth", "confidence")}
    poses = {"world_to_camera": np.eye(3, 4), "intrinsics": np.diag([50.0, 50.0, 1.0])}
    scene = Reconstruction(
        images=views.images,
        names=views.names,
        original_sizes=views.original_sizes,
        scale_offset=views.scale_offset,
        notes=views.notes,
        peak_memory_bytes=0,
        settings={"tokens": 1, "precision": "float32", "device": "cpu"},
        **arrays,
        **{name: np.stack([matrix] * 3) for name, matrix in poses.items()},
    )
    assert report_text(scene).splitlines()[-1] == views.notes[0]
    assert Reconstruction.from_dict(scene.to_dict()).notes == views.notes


def test_very_many_notes_are_counted():
    notes = [f"left out: {number}" for number in range(NOTES_SHOWN + 3)]
    assert notes_shown(notes) == [*notes[:NOTES_SHOWN], "... and 3 more notes"]
