"""A film past the cameras: as long and as large as asked for, on what they look at."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from manyview.scene.flight import flight, write_flight
from manyview.scene.framing import focus
from manyview.scene.pointcloud import point_cloud

SIZE = (64, 48)


def film(path: Path) -> tuple[int, float, tuple[int, int]]:
    """(pictures, seconds, size) of a file."""
    with av.open(str(path)) as found:
        stream = found.streams.video[0]
        pictures = list(found.decode(stream))
        return len(pictures), len(pictures) / float(stream.average_rate), (pictures[0].width, pictures[0].height)


def test_a_film_of_the_length_and_size_asked_for(room, tmp_path: Path) -> None:
    told = []
    about = {"size": SIZE, "seconds": 2, "frames_per_second": 8, "progress": lambda *each: told.append(each)}
    path = write_flight(point_cloud(room, max_points=500), room, tmp_path / "a.mp4", **about)
    count, seconds, size = film(path)
    assert (count, size) == (16, SIZE) and np.isclose(seconds, 2, atol=0.05)
    assert told[0] == ("flight", 0, 16) and told[-1] == ("flight", 15, 16)


def test_time_is_bounded(room, tmp_path: Path) -> None:
    about = {"size": SIZE, "seconds": 4, "frames_per_second": 12, "most_seconds": 1e-9}
    count, seconds, _ = film(write_flight(point_cloud(room, max_points=500), room, tmp_path / "a.mp4", **about))
    assert count == 12 and np.isclose(seconds, 4, atol=0.1), "fewer pictures, the same length"


def test_the_way_is_smooth_and_looks_at_the_scene(room) -> None:
    cloud = point_cloud(room)
    views = flight(cloud, room, 30, SIZE)
    steps = np.linalg.norm(np.diff([view.eye for view in views], axis=0), axis=1)
    assert len(views) == 30 and steps.max() < 0.5 * steps.sum()
    middle = focus(cloud).center
    for view in (views[0], views[15], views[-1]):
        ahead, wanted = view.target - view.eye, middle - view.eye
        assert ahead @ wanted > 0.5 * np.linalg.norm(ahead) * np.linalg.norm(wanted)


def test_cameras_in_one_place_make_a_swing(room) -> None:
    poses = np.repeat(room.world_to_camera[:1], len(room), axis=0)
    views = flight(point_cloud(room), replace(room, world_to_camera=poses), 12, SIZE)
    assert np.isfinite([view.eye for view in views]).all() and np.ptp([view.eye for view in views], axis=0).max() > 0


def test_wrong_input_and_cancelling(room, tmp_path: Path) -> None:
    cloud = point_cloud(room, max_points=100)
    with pytest.raises(ValueError, match="no points"):
        write_flight(cloud.take(slice(0, 0)), room, tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="even sides"):
        write_flight(cloud, room, tmp_path / "a.mp4", size=(63, 48))

    def stop(stage: str, done: int, total: int) -> None:
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        write_flight(cloud, room, tmp_path / "a.mp4", size=SIZE, progress=stop)
    assert not list(tmp_path.iterdir()), "nothing is left of a film that was stopped"


class Stopped(Exception):
    """The work was cancelled."""
