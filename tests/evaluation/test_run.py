"""The protocol: same bytes for all methods, failed scenes as rows, stopping and going on, parts, reports."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from manyview.evaluation.plots import evaluation_plots
from manyview.evaluation.report import html_table, write_reports
from manyview.evaluation.results import collect, csv_text, table, text_table, write_results
from manyview.evaluation.run import RunOptions, run_benchmark
from manyview.evaluation.scene import Card, EvaluationScene, Prediction, ScoringRules, Truth
from manyview.evaluation.store import InputChanged, RunFolder, read_prediction, write_prediction
from manyview.evaluation.style import write_plot

SIZE = (14, 28)


def cameras(count: int, seed: int) -> np.ndarray:
    poses = np.tile(np.eye(3, 4), (count, 1, 1))
    poses[:, :, 3] = np.random.default_rng(seed).normal(size=(count, 3))
    return poses


class ToyBenchmark:
    """Scenes of three frames whose depth is 2 everywhere."""

    card = Card("toy", "Toy scenes", "nowhere", "none", "all of them")
    name = "toy"
    rules = ScoringRules(("pairs", "trajectory", "depth", "points"), f_threshold=0.1)

    def __init__(self, count: int = 4, broken: str = "", shift: float = 0.0) -> None:
        self.count, self.broken, self.shift = count, broken, shift
        self.loads = 0

    def scenes(self) -> list[str]:
        return [f"room/{index}" for index in range(self.count)]

    def missing(self) -> list[str]:
        return []

    def load(self, scene: str) -> EvaluationScene:
        self.loads += 1
        if scene == self.broken:
            raise FileNotFoundError(f"{scene} has no images.")
        seed = int(scene[-1])
        images = torch.full((3, 3, *SIZE), 0.1 * seed + self.shift)
        poses, depth = cameras(3, seed), np.full((3, *SIZE), 2.0) + np.random.default_rng(seed).random((3, *SIZE))
        truth = Prediction(poses, intrinsics(), depth).world_points()
        return EvaluationScene(
            scene, images, ("a", "b", "c"), Truth(poses, truth, depth, np.ones((3, *SIZE), dtype=bool))
        )


def intrinsics() -> np.ndarray:
    return np.tile(np.array([[20.0, 0, 14], [0, 20, 7], [0, 0, 1]]), (3, 1, 1))


class ToyMethod:
    """Knows the truth, up to `error` in the cameras; may fail or be stopped at a scene."""

    def __init__(
        self, benchmark: ToyBenchmark, name: str = "exact", error: float = 0.0, stop: str = "", **kind
    ) -> None:
        self.benchmark, self.name, self.error, self.stop = benchmark, name, error, stop
        self.baseline = "exact"
        self.kind = kind.get("kind", KeyboardInterrupt)
        self.seen: list[float] = []

    def settings(self) -> dict:
        return {"error": self.error}

    def predict(self, images: torch.Tensor) -> Prediction:
        seed = round(float(images[0, 0, 0, 0]) * 10)
        self.seen.append(float(images.sum()))
        if self.stop == f"room/{seed}":
            raise self.kind("stop")
        poses = cameras(3, seed)
        poses[:, :, 3] += self.error * np.random.default_rng(9).normal(size=(3, 3))
        depth = 2 + np.random.default_rng(seed).random((3, *SIZE))
        return Prediction(
            poses,
            intrinsics(),
            depth.astype(np.float32),
            seconds=0.5 + self.error,
            density=np.full((2, 2), 1 - self.error),
        )


def finished(folder: RunFolder, benchmark: ToyBenchmark, methods: list) -> dict:
    run = {"device": "CPU", "precision": "float32", "command": "python . evaluate"}
    return collect(folder, [benchmark], methods, run)


def test_numbers_and_files(tmp_path: Path) -> None:
    toy = ToyBenchmark()
    methods = [ToyMethod(toy), ToyMethod(toy, "off", 0.2)]
    folder = RunFolder(tmp_path / "run")
    folder.begin({"a": 1})
    calls = []
    run_benchmark(toy, methods, folder, progress=lambda *what: calls.append(what))
    assert calls[0] == ("toy", 0, 4) and calls[-1] == ("toy", 4, 4)
    assert toy.loads == 4 and methods[0].seen == methods[1].seen
    results = finished(folder, toy, methods)
    exact, off = results["benchmarks"][0]["methods"]
    assert exact["scenes"] == 4 and exact["failed"] == []
    assert exact["summary"]["auc_3"] == pytest.approx(100)
    assert exact["summary"]["ate"] == pytest.approx(0, abs=1e-9)
    assert exact["summary"]["accuracy"] == pytest.approx(0, abs=1e-5)
    assert exact["summary"]["abs_rel"] == pytest.approx(0, abs=1e-5)
    assert exact["summary"]["density"] == 100 and off["summary"]["density"] == pytest.approx(80)
    assert off["differences"]["ate"]["low"] > 0 and off["differences"]["ate"]["scenes"] == 4
    assert exact["differences"] == {}

    write_results(results, folder.folder)
    plots = evaluation_plots(results)
    assert {plot.name for plot in plots} == {"toy-density", "toy-seconds", "toy-differences"}
    for plot in plots:
        write_plot(plot, folder.folder / "plots")
        assert "4 scenes" in plot.caption and "float32" in plot.caption
    write_reports(results, plots, folder.folder)
    assert json.loads((tmp_path / "run" / "results.json").read_text())["run"]["device"] == "CPU"
    lines = (tmp_path / "run" / "results.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 4 and lines[0].startswith("benchmark,scene,group,method,error")
    text = (tmp_path / "run" / "report.md").read_text()
    assert "| off | 4 |" in text and "plots/toy-density.svg" in text
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 3 and "<script" not in page
    head, rows = table(results["benchmarks"][0])
    assert text_table(head, rows).splitlines()[1].startswith("exact")


def test_a_failed_scene_is_a_row(tmp_path: Path) -> None:
    toy = ToyBenchmark(broken="room/1")
    methods = [ToyMethod(toy), ToyMethod(toy, "frail", stop="room/2", kind=MemoryError)]
    folder = RunFolder(tmp_path / "run")
    run_benchmark(toy, methods, folder)
    results = finished(folder, toy, methods)
    exact, frail = results["benchmarks"][0]["methods"]
    assert exact["failed"] == ["room/1"] and frail["failed"] == ["room/1", "room/2"]
    rows = {(row["method"], row["scene"]): row for row in results["benchmarks"][0]["rows"]}
    assert rows["exact", "room/1"]["error"] == "room/1 has no images."
    assert rows["frail", "room/2"]["error"] == "MemoryError: stop"
    assert csv_text(results).count("room/2") == 2
    assert table(results["benchmarks"][0])[1][1][1] == "2/4"
    write_reports(results, [], folder.folder)
    assert "frail, room/2: MemoryError: stop" in (folder.folder / "report.md").read_text()
    # and it is tried again: this time it goes well
    methods[1].stop = ""
    toy.broken = ""
    run_benchmark(toy, methods, folder)
    assert [m["failed"] for m in finished(folder, toy, methods)["benchmarks"][0]["methods"]] == [[], []]


def test_what_cannot_be_scored_is_a_row(tmp_path: Path) -> None:
    toy = ToyBenchmark(1)
    method = ToyMethod(toy)
    method.predict = lambda images: Prediction(world_to_camera=np.full((3, 3, 4), np.nan))
    folder = RunFolder(tmp_path)
    run_benchmark(toy, [method], folder)
    row = finished(folder, toy, [method])["benchmarks"][0]["rows"][0]
    assert row["error"] == "ValueError: The predicted cameras are not finite."


def test_stopped_and_gone_on_with_equals_a_straight_run(tmp_path: Path) -> None:
    toy = ToyBenchmark()
    straight = RunFolder(tmp_path / "straight")
    run_benchmark(toy, [ToyMethod(toy), ToyMethod(toy, "off", 0.2)], straight)
    expected = finished(straight, toy, [ToyMethod(toy), ToyMethod(toy, "off", 0.2)])

    folder = RunFolder(tmp_path / "stopped")
    methods = [ToyMethod(toy), ToyMethod(toy, "off", 0.2, stop="room/2")]
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(toy, methods, folder)
    assert not list(folder.folder.rglob("*.partial"))
    methods[1].stop = ""
    methods[0].seen.clear()
    run_benchmark(toy, methods, folder, RunOptions(warm_up=False))
    assert len(methods[0].seen) == 1  # room/3 alone: what was predicted is not predicted again
    assert finished(folder, toy, methods) == expected


def test_other_images_are_refused(tmp_path: Path) -> None:
    toy = ToyBenchmark()
    folder = RunFolder(tmp_path)
    run_benchmark(toy, [ToyMethod(toy)], folder)
    toy.shift = 1e-3
    with pytest.raises(InputChanged, match="not those that this run began with"):
        run_benchmark(toy, [ToyMethod(toy, "new")], folder)


def test_parts_together_equal_the_whole(tmp_path: Path) -> None:
    toy = ToyBenchmark()
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    run_benchmark(toy, [ToyMethod(toy)], whole)
    for part in ((1, 3), (2, 3), (3, 3)):
        run_benchmark(toy, [ToyMethod(toy)], parts, RunOptions(part=part, workers=2))
    assert finished(whole, toy, [ToyMethod(toy)]) == finished(parts, toy, [ToyMethod(toy)])


def test_chosen_scenes(tmp_path: Path) -> None:
    toy = ToyBenchmark()
    folder = RunFolder(tmp_path)
    run_benchmark(toy, [ToyMethod(toy)], folder, RunOptions(scenes=["room/3"]))
    assert [row["scene"] for row in finished(folder, toy, [ToyMethod(toy)])["benchmarks"][0]["rows"]] == ["room/3"]
    with pytest.raises(ValueError, match="no scene 'hall'"):
        run_benchmark(toy, [ToyMethod(toy)], folder, RunOptions(scenes=["hall"]))


def test_maps_go_when_only_poses_are_kept(tmp_path: Path) -> None:
    toy = ToyBenchmark(1)
    folder = RunFolder(tmp_path / "run", tmp_path / "elsewhere")
    run_benchmark(toy, [ToyMethod(toy)], folder, RunOptions(keep_maps=False))
    kept = read_prediction(tmp_path / "elsewhere" / "toy" / "room~0" / "exact.npz")
    assert kept.depth is None and kept.world_to_camera.shape == (3, 3, 4) and kept.seconds == 0.5


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").begin({"a": (1, 2)})
    RunFolder(tmp_path / "run").begin({"a": (1, 2)})
    with pytest.raises(FileExistsError, match="other options"):
        RunFolder(tmp_path / "run").begin({"a": 3})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds no run"):
        RunFolder(tmp_path / "full").begin({})


def test_predictions_survive_the_disk(tmp_path: Path) -> None:
    prediction = ToyMethod(ToyBenchmark()).predict(torch.zeros(3, 3, *SIZE))
    prediction.notes["attention"] = "dense"
    write_prediction(tmp_path / "p.npz", prediction)
    back = read_prediction(tmp_path / "p.npz")
    for name in ("world_to_camera", "intrinsics", "depth", "density"):
        np.testing.assert_array_equal(getattr(back, name), getattr(prediction, name))
    assert back.points is None and back.notes == {"attention": "dense"} and back.seconds == 0.5


HOSTILE = '=HYPERLINK("x") | <img src=x onerror=alert(1)> $\\frac{ $ _x'


def test_names_of_all_kinds_stay_names_in_tables_pages_and_figures(tmp_path: Path) -> None:
    toy = ToyBenchmark(broken="room/1")
    methods = [ToyMethod(toy), ToyMethod(toy, HOSTILE, 0.2), ToyMethod(toy, "_under", 0.1)]
    folder = RunFolder(tmp_path / "run")
    folder.begin({"a": 1})
    run_benchmark(toy, methods, folder)
    results = finished(folder, toy, methods)
    results["run"]["command"] = "python . evaluate `<b>`"
    write_results(results, folder.folder)
    plots = evaluation_plots(results)
    for plot in plots:
        write_plot(plot, folder.folder / "plots")
    write_reports(results, plots, folder.folder)
    with (folder.folder / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert {row[3] for row in rows[1:]} == {"exact", f"'{HOSTILE}", "_under"}
    for name in ("report.md", "report.html"):
        text = (folder.folder / name).read_text(encoding="utf-8")
        assert "<img src=x" not in text and "&lt;img src=x" in text
    table_lines = [line for line in (folder.folder / "report.md").read_text().splitlines() if "onerror" in line]
    assert all(re.sub(r"\\.", "", line).count("|") == 2 + table_columns(results) for line in table_lines[:1])
    svg = (folder.folder / "plots" / "toy-density.svg").read_text(encoding="utf-8")
    assert "frac{" in svg and "_under" in svg


def table_columns(results: dict) -> int:
    return len(table(results["benchmarks"][0])[0]) - 1


def test_tables_fit_the_terminal() -> None:
    head = ["method", *(f"metric {number}" for number in range(12))]
    lines = [["a model of some name", *(f"{number / 7:.4f}" for number in range(12))]]
    text = text_table(head, lines, width=60)
    assert max(map(len, text.splitlines())) <= 60
    for cell in (*head[1:], *lines[0][1:]):
        assert cell in text
    assert text.count("a model of some name") == len(text.split("\n\n")) > 1
    assert "\n\n" not in text_table(head, lines, width=300)
    page = html_table(head * 4, [lines[0] * 4])
    assert page.count("<table>") > 1
    assert page.count("<th>metric 7</th>") == 4


def test_what_a_killed_run_leaves_does_not_stop_the_next(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.folder.mkdir()
    (folder.folder / ".plan.json.0123abcd.partial").write_text("{")
    folder.begin({"a": 1})
    folder.begin({"a": 1})
    with pytest.raises(FileExistsError, match="other options"):
        folder.begin({"a": 2})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(FileExistsError, match="holds no run"):
        RunFolder(tmp_path / "mine").begin({"a": 1})
    with pytest.raises(FileExistsError, match="is a file"):
        RunFolder(tmp_path / "mine" / "thesis.txt").begin({"a": 1})
