"""Runs of a visitor: the network once, everything else from its result."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from manyview.demo import views, work
from manyview.demo.jobs import Job
from manyview.demo.sessions import Session, Sessions
from manyview.demo.settings import IMAGES, POINTS, SPARSITY, Settings, defaults
from manyview.nodes.parameters import EXPORT_FORMATS
from manyview.scene.export import read_npz

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
    files = work.write_files(session, replace(START, formats=tuple(EXPORT_FORMATS)), job())
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
    first = work.write_files(session, replace(START, formats=("ply",)), job())
    points = defaults(POINTS, {"confidence_percentile": 50.0})
    second = work.write_files(session, replace(START, points=points, formats=("ply",)), job())
    assert not first[0].exists() and second[0].exists()


def test_two_sparsities_are_compared(session: Session) -> None:
    sparse = defaults(SPARSITY, {"method": "fast", "method.min_tokens": 1})
    outcome = work.reconstruct(session, replace(START, sparsity=sparse, against=START.sparsity), job())
    text = views.comparison(outcome)
    assert outcome.compared is not None and "compared with" in text and "do not differ" not in text
    assert outcome.scene.density is not None and "heads" in views.report(outcome.scene)
    same = work.reconstruct(session, replace(START, against=START.sparsity), job())
    assert "do not differ" in views.comparison(same)


def test_cancelled_runs_leave_the_last_result(session: Session) -> None:
    before, stopped = session.outcome, job()
    stopped.cancel()
    stopped._work = lambda it: work.reconstruct(session, replace(START, images={**SMALL, "limit": 2}), it)
    stopped.run()
    assert stopped.state == "cancelled" and session.outcome is before and session.host.job is None


def test_names_from_files_are_escaped(session: Session) -> None:
    shown = views.frames("base", ["<b>.jpg"], [("image", "photo")])
    assert "&lt;b&gt;.jpg" in shown and "<b>.jpg" not in shown
    assert "&lt;i&gt;" in views.message("done", "<i>")
    path = Path(session.host.base) / "x"
    path.write_bytes(b"1" * 2_000)
    assert "2 kB" in views.files([(path, 'a"b')]) and 'a"b' not in views.files([(path, 'a"b')])
    assert views.size_text(3_400_000) == "3.4 MB"


def test_camera_table(session: Session) -> None:
    rows = views.cameras(session.outcome.scene)
    assert len(rows) == 3 and all(len(row) == len(views.CAMERA_COLUMNS) for row in rows)
    assert np.isclose(np.linalg.norm(rows[1][5:9]), 1, atol=1e-3)
