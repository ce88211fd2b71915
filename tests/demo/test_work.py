"""Runs of a visitor: the network once, everything else from its result."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from manyview.demo import views, work
from manyview.demo.endpoint import summary
from manyview.demo.jobs import Job
from manyview.demo.sessions import Session, Sessions
from manyview.demo.settings import IMAGES, POINTS, RECONSTRUCT, SPARSITY, Settings, defaults
from manyview.nodes.parameters import EXPORT_FORMATS
from manyview.scene.export import read_npz
from manyview.scene.flight import write_flight

SMALL = defaults(IMAGES, {"source": "sample scene of ManyView", "resolution": 112, "limit": 3, "selection": "even"})
START = Settings(images=SMALL)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sessions]:
    folder = tmp_path_factory.mktemp("work")
    found = Sessions(folder / "sessions", folder / "models", torch.device("cpu"))
    yield found
    found.close_all()


@pytest.fixture
def session(sessions: Sessions) -> Iterator[Session]:
    found = sessions.make()
    work.reconstruct(found, START, job())
    yield found
    found.close()


def job() -> Job:
    return Job(lambda job: None)


def test_filters_do_not_run_the_network(session: Session) -> None:
    before = session.outcome
    points = defaults(POINTS, {"confidence_percentile": 60.0})
    after = work.filter_points(session, replace(START, points=points), job())
    assert len(after.cloud) < 0.6 * len(before.cloud)
    assert np.array_equal(after.scene.depth, before.scene.depth)
    session.runner.results.clear()
    with pytest.raises(ValueError, match="press Reconstruct again"):
        work.filter_points(session, START, job())


def test_a_known_length_is_kept_in_every_file(session: Session) -> None:
    before = session.outcome.scene
    after = work.set_scale(session, 0.5, 2.0, job()).scene
    assert np.allclose(after.depth, 4 * before.depth) and np.allclose(
        after.camera_positions, 4 * before.camera_positions, atol=1e-6
    )
    assert "in metres" in views.finished(session.outcome)
    again = work.set_scale(session, 2.0, 1.0, job()).scene
    assert np.allclose(again.depth, 2 * before.depth), "a length measured in metres corrects the scale"
    files = work.write_files(session, replace(START, formats=tuple(EXPORT_FORMATS)), job()).files
    found = {path.suffix: path for path in files}
    assert sorted(path.name for path in files) == [
        "colmap.zip",
        "depth.zip",
        "points.ply",
        "preview.zip",
        "scene.glb",
        "scene.npz",
    ]
    assert np.allclose(read_npz(found[".npz"]).depth, again.depth)


def test_files_need_a_scene_and_a_format(session: Session, sessions: Sessions) -> None:
    with pytest.raises(ValueError, match="at least one kind"):
        work.write_files(session, replace(START, formats=()), job())
    nobody = sessions.make()
    with pytest.raises(ValueError, match="press Reconstruct first"):
        work.write_files(nobody, START, job())
    nobody.close()


def test_files_of_earlier_exports_go(session: Session) -> None:
    first = work.write_files(session, replace(START, formats=("ply",)), job()).files
    points = defaults(POINTS, {"confidence_percentile": 50.0})
    second = work.write_files(session, replace(START, points=points, formats=("ply",)), job()).files
    assert not first[0].exists() and second[0].exists()


def test_two_sparsities_are_compared(session: Session) -> None:
    sparse = defaults(SPARSITY, {"method": "fast", "method.min_tokens": 1})
    outcome = work.reconstruct(session, replace(START, sparsity=sparse, against=START.sparsity), job())
    text = views.comparison(outcome)
    assert outcome.compared is not None and "compared with" in text and "do not differ" not in text
    assert outcome.scene.density is not None and "heads" in views.report(outcome.scene)
    same = work.reconstruct(session, replace(START, against=START.sparsity), job())
    assert "do not differ" in views.comparison(same)


def test_a_dense_scene_is_computed_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    inner = session.runner.call.call

    def counted(class_type, host, inputs):
        ran.append(class_type)
        return inner(class_type, host, inputs)

    monkeypatch.setattr(session.runner.call, "call", counted)
    dense = defaults(SPARSITY, {"method": "dense"})
    same = work.reconstruct(session, replace(START, against=dense), job())
    assert RECONSTRUCT not in ran, "quality is dense for so few photos, and was computed already"
    assert np.array_equal(same.scene.depth, same.compared.depth) and same.comparison.scale == 1
    assert "chosen: quality" in views.comparison(same) and "compared with: dense" in views.comparison(same)
    sparse = defaults(SPARSITY, {"method": "fast", "method.min_tokens": 1})
    work.reconstruct(session, replace(START, against=sparse), job())
    assert ran.count(RECONSTRUCT) == 1
    other = replace(START, images={**SMALL, "limit": 2}, against=dense)
    work.reconstruct(session, other, job())
    assert ran.count(RECONSTRUCT) == 2, "other photos are another scene"


def test_the_scale_ends_with_its_scene(session: Session) -> None:
    known = work.set_scale(session, 0.5, 2.0, job()).settings.scale
    assert known == {"measured": 0.5, "meters": 2.0}
    again = work.reconstruct(session, replace(START, scale=known), job())
    assert again.settings.scale == known, "the same photos and settings give the same scene"
    other = work.reconstruct(session, replace(START, images={**SMALL, "limit": 2}, scale=known), job())
    assert other.settings.scale is None and "in metres" not in views.finished(other)
    work.set_scale(session, 0.5, 2.0, job())
    session.photos.arrange(["frame_03.jpg", "frame_00.jpg"])
    with pytest.raises(ValueError, match="not those of this scene any more"):
        work.filter_points(session, START, job())
    mine = replace(START, images={**SMALL, "source": session.photos.source}, scale=known)
    assert work.reconstruct(session, mine, job()).settings.scale is None


def test_photos_and_masks_that_were_left_out_are_told(session: Session, root: Path) -> None:
    for name in ("frame_00.jpg", "frame_03.jpg", "frame_06.jpg"):
        shutil.copy(root / "sample" / name, session.host.base / name)
    session.photos.add([(session.host.base / name, name) for name in ("frame_00.jpg", "frame_03.jpg", "frame_06.jpg")])
    broken = session.photos.photos[1].path
    broken.write_bytes(broken.read_bytes()[:4000])
    mask = session.host.base / "mask.png"
    Image.new("L", (10, 90), 255).save(mask)
    session.photos.photos[0] = replace(session.photos.photos[0], mask=mask)
    images = {**SMALL, "source": session.photos.source, "masks": session.photos.masks}
    outcome = work.reconstruct(session, replace(START, images=images), job())
    state = json.loads(views.finished(outcome))
    assert state["text"].startswith("2 of 3 views"), state
    told = "\n".join(state["notes"])
    assert "frame_03.jpg" in told and "10 x 90" in told and str(session.host.base) not in told
    assert summary(outcome, 3, ["a.heic is no photo"])["notes"][0] == "a.heic is no photo"


def test_a_film_of_the_scene(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "write_flight", partial(write_flight, size=(64, 48), seconds=1))
    first = work.fly(session, job())
    assert first.read_bytes()[4:8] == b"ftyp" and first.is_relative_to(session.host.output_folder)
    work.filter_points(session, replace(START, points=defaults(POINTS, {"confidence_percentile": 60.0})), job())
    second = work.fly(session, job())
    assert second.exists() and not first.exists(), "it is that of the points that are shown"


def test_cancelled_runs_leave_the_last_result(session: Session) -> None:
    before, stopped = session.outcome, job()
    stopped.cancel()
    stopped._work = lambda it: work.reconstruct(session, replace(START, images={**SMALL, "limit": 2}), it)
    stopped.run()
    assert stopped.state == "cancelled" and session.outcome is before and session.host.job is None


def test_names_from_files_are_escaped(session: Session) -> None:
    shown = views.frames("base", ["<b>.jpg"], [("image", "photo")])
    assert "&lt;b&gt;.jpg" in shown and "<b>.jpg" not in shown
    assert json.loads(views.message("done", "<i>"))["text"] == "<i>", "the page writes it as text"
    path = Path(session.host.base) / "x"
    path.write_bytes(b"1" * 2_000)
    assert "2 kB" in views.files([(path, 'a"b')]) and 'a"b' not in views.files([(path, 'a"b')])
    assert views.size_text(3_400_000) == "3.4 MB"


def test_camera_table(session: Session) -> None:
    rows = views.cameras(session.outcome.scene)
    assert len(rows) == 3 and all(len(row) == len(views.CAMERA_COLUMNS) for row in rows)
    assert np.isclose(np.linalg.norm(rows[1][5:9]), 1, atol=1e-3)
