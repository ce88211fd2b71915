"""Sky and plain backgrounds go, things stay."""

import numpy as np
import pytest

from manyview.scene.backdrop import backdrop, connected, sky
from manyview.scene.pointcloud import point_cloud

SKY = {"blue": (110, 160, 220), "overcast": (210, 212, 216)}


def outdoors(color: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A house with a sky-blue door under the sky: image (40, 60, 3), depth (40, 60), where the sky is."""
    random = np.random.default_rng(0)
    image = random.integers(60, 200, (40, 60, 3)).astype(np.uint8)
    depth = np.full((40, 60), 4.0, np.float32)
    where = np.zeros((40, 60), bool)
    where[:15] = True
    where[6:15, 20:40] = False
    image[where] = np.array(color) + random.integers(-3, 4, (where.sum(), 3))
    image[25:35, 28:34] = color
    depth[where] = 50
    depth[20:] = 2
    return image, depth, where


@pytest.mark.parametrize("color", SKY.values(), ids=SKY)
def test_sky_goes_and_the_rest_stays(color: tuple[int, int, int]) -> None:
    image, depth, where = outdoors(color)
    found = sky(image, depth)
    assert found[where].mean() > 0.97 and found[20:].sum() == 0
    assert found[~where].mean() < 0.1, "only its edge is widened"


def test_a_wall_near_by_is_no_sky() -> None:
    image, depth, _ = outdoors(SKY["blue"])
    assert sky(image, 1 / depth).sum() == 0
    upside_down = sky(image[::-1], depth[::-1])
    assert upside_down.sum() == 0, "sky reaches the upper border"


@pytest.mark.parametrize(("shade", "value"), [("black", 5), ("white", 250)])
def test_a_plain_background_goes_but_not_what_is_as_plain_inside(shade: str, value: int) -> None:
    image = np.full((30, 40, 3), value, np.uint8)
    image[8:24, 10:30] = 120
    image[14:18, 16:22] = value
    found = backdrop(image, shade)
    assert found[:8].all() and found[:, :10].all() and not found[8:24, 10:30].any()
    other = "white" if shade == "black" else "black"
    assert not backdrop(image, other).any()


def test_a_way_round_corners() -> None:
    allowed = np.array([[0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [1, 0, 1, 1]], bool)
    start = np.zeros((4, 4), bool)
    start[0, 1] = True
    assert connected(start, allowed).sum() == 6 and not connected(start, allowed)[3, 0]
    assert not connected(np.zeros((4, 4), bool), allowed).any()


def test_points_without_them(room) -> None:
    before = point_cloud(room, confidence_percentile=0, edge_filter=None, outlier_filter=False)
    room.images[0][:, :10] = 255
    after = point_cloud(room, confidence_percentile=0, edge_filter=None, outlier_filter=False, backdrop_filter="white")
    white = (after.frame == 0) & (after.pixel[:, 0] < 10)
    assert len(after) < len(before) and not white.any()
    with pytest.raises(ValueError, match="none, black, white"):
        point_cloud(room, backdrop_filter="green")
