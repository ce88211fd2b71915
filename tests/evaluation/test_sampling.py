"""Published frame rules, with the numbers that the published evaluators give."""

import pytest

from manyview.evaluation.sampling import (
    evenly_spaced,
    every,
    every_nth_scene,
    fastvggt_frames,
    floor_to_multiple,
    seeded_draws,
    size_at_width,
)


def test_seeded_draws() -> None:
    assert seeded_draws({"a": 279}, 10, 42)["a"] == [30, 126, 199, 142, 254, 237, 97, 206, 258, 144]
    assert seeded_draws({"a": 202}, 10, 42)["a"] == [95, 15, 30, 159, 186, 115, 69, 172, 161, 45]
    first, second = seeded_draws({"a": 279, "b": 237}, 10, 42), seeded_draws({"a": 280, "b": 237}, 10, 42)
    assert first["b"] != second["b"]  # one sequence of another length shifts all that follow


@pytest.mark.parametrize(
    ("count", "wanted", "starts", "last"),
    [
        (5578, 1000, [0, 1, 6, 11], 4991),
        (1999, 1000, [0, 1, 3, 5], 1997),
        (5578, 100, [0, 1, 57, 113], 5489),
        (1200, 1000, [0, 1, 2, 3], 999),
    ],
)
def test_fastvggt_frames(count: int, wanted: int, starts: list[int], last: int) -> None:
    frames = fastvggt_frames(count, wanted)
    assert len(frames) == wanted and frames[:4] == starts and frames[-1] == last


def test_short_sequences_give_all_frames() -> None:
    assert fastvggt_frames(5, 10) == evenly_spaced(5, 10) == [0, 1, 2, 3, 4]
    assert fastvggt_frames(5, 1) == [0]


def test_even_spacing_reaches_both_ends() -> None:
    assert evenly_spaced(151, 25)[::24] == [0, 150]
    assert every(100, 40) == [0, 40, 80]


def test_every_nth_scene() -> None:
    names = [f"scene{n:04d}_00" for n in range(1513)]
    chosen = every_nth_scene(names[::-1], 50)
    assert len(chosen) == 50 and chosen[:2] == ["scene0000_00", "scene0030_00"]
    assert every_nth_scene(names[:7], 50) == names[:7]


@pytest.mark.parametrize(
    ("source", "at_512", "in_14s", "at_518"),
    [
        ((640, 360), (512, 294), (504, 294), (518, 294)),
        ((640, 480), (512, 378), (504, 378), (518, 392)),
        ((1296, 968), (512, 378), (504, 378), (518, 392)),
        ((1920, 1080), (512, 294), (504, 294), (518, 294)),
        ((6048, 4032), (512, 336), (504, 336), (518, 350)),
        ((900, 1600), (512, 910), (504, 910), (518, 924)),
    ],
)
def test_sizes(source: tuple, at_512: tuple, in_14s: tuple, at_518: tuple) -> None:
    assert size_at_width(source, 512) == at_512
    assert floor_to_multiple(at_512) == in_14s
    assert size_at_width(source, 518) == at_518
