"""Running graphs: results that nothing has changed are kept, lists are mapped, failures name the node."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from manyview.nodes.graph.host import FolderHost, Result
from manyview.workflows import limits, runner
from manyview.workflows.definitions import kinds
from manyview.workflows.graph import Graph, Link, Node
from manyview.workflows.problem import Cancelled, WorkflowError
from manyview.workflows.results import Results, size_of
from manyview.workflows.runner import FUNCTIONS, Runner, nested

RECONSTRUCT = "ManyView_Reconstruct"


class Watched(Runner):
    """Notes which nodes run."""

    def __init__(self, host: FolderHost, **options: Any) -> None:
        super().__init__(host, **options)
        self.ran: list[str] = []

    def again(self, graph: Graph) -> list[str]:
        """Ids of the nodes that run."""
        self.ran.clear()
        self.run(graph, on_start=lambda number, node: self.ran.append(number))
        return list(self.ran)


def changed(graph: Graph, number: str, **inputs: Any) -> Graph:
    return {**graph, number: Node(graph[number].class_type, {**graph[number].inputs, **inputs})}


def test_photos_to_files(host: FolderHost, graph: Graph) -> None:
    document = {"nodes": [], "odd": 1}
    done = Runner(host).run(graph, workflow=document)
    assert list(done) == list(graph)
    assert done["4"].value()["depth"].shape == (3, 84, 112) and done["4"].value(7).startswith("3 frames")
    assert 0 < done["4"].value()["density"].mean() < 1, "half of the blocks were left out"
    folder = Path(done["7"].value())
    assert folder == host.output_folder / "manyview" / "scene_00001_"
    glb = (folder / "scene.glb").read_bytes()
    extras = json.loads(glb[20 : 20 + int.from_bytes(glb[12:16], "little")])["asset"]["extras"]
    assert extras["workflow"] == document and extras["prompt"]["3"]["inputs"]["method.rho"] == 0.5
    assert done["6"].ui["text"] and done["7"].ui["3d"][0]["type"] == "output"
    assert all(each.seconds > 0 and not each.kept for each in done.values())


def test_only_what_changed_runs_again(host: FolderHost, graph: Graph) -> None:
    watched = Watched(host)
    assert watched.again(graph) == ["1", "2", "3", "4", "5", "6", "7"]
    assert watched.again(graph) == []
    fewer = changed(graph, "5", confidence_percentile=50)
    assert watched.again(fewer) == ["5", "6", "7"], "the network does not run again"
    assert watched.again(graph) == [], "and the results before are still there"
    assert watched.again(changed(graph, "3", **{"method.rho": 0.25})) == ["3", "4", "5", "6", "7"]
    host.input_folder.joinpath("photos", "photo_0.jpg").touch()
    assert watched.again(graph) == ["2", "4", "5", "6", "7"]


def test_results_whose_files_are_gone_are_made_again(host: FolderHost, graph: Graph) -> None:
    watched = Watched(host)
    done = watched.run(graph)
    assert watched.again(graph) == []
    shutil.rmtree(done["7"].value())
    assert watched.again(graph) == ["7"]
    done["5"].value(1).unlink()
    assert watched.again(graph) == ["5"], "what came of it is still there"


def test_equal_nodes_run_once(host: FolderHost, graph: Graph) -> None:
    twin = {**graph, "8": graph["5"], "9": Node("ManyView_Preview", {"scene": Link("4", 0), "points": Link("8", 0)})}
    assert Watched(host).again(twin) == ["1", "2", "3", "4", "5", "6", "7"]


def test_only_what_output_nodes_need_runs(host: FolderHost, graph: Graph) -> None:
    loose = {**graph, "8": Node("ManyView_LoadModel", {"model": "mini"})}
    assert "8" not in Watched(host).again(loose)


def test_shared_results(host: FolderHost, graph: Graph) -> None:
    shared = Results()
    options = {"shared": shared, "sharing": frozenset({"ManyView_LoadModel"})}
    assert "1" in Watched(host, **options).again(graph)
    assert Watched(host, **options).again(graph) == ["2", "3", "4", "5", "6", "7"]
    assert len(shared) == 1


def test_results_give_way_by_size() -> None:
    results = Results(most_bytes=200)
    for key in "abc":
        results.put(key, ([np.zeros(100, np.uint8)],), {})
    assert results.get("a") is not None
    results.trim(keep={"c"})
    assert results.get("b") is None and results.get("a") and results.get("c")
    results.trim(keep={"c"})
    results.most_bytes = 0
    results.trim(keep={"c"})
    assert len(results) == 1
    results.clear()
    assert len(results) == 0


def test_sizes(tiny_model: Path) -> None:
    from manyview.models.checkpoints import load_model

    array = np.zeros((4, 4), np.float32)
    assert size_of(([{"a": array, "b": array, "c": torch.zeros(2)}], [3, "x", None])) == 64 + 8
    assert size_of([{"loaded": load_model(tiny_model)}]) > 100_000


def test_lists_are_mapped_as_in_comfyui(host: FolderHost, graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    scene = FUNCTIONS[RECONSTRUCT].run
    monkeypatch.setitem(
        FUNCTIONS,
        RECONSTRUCT,
        runner.NODES[RECONSTRUCT].__class__(lambda host, **inputs: seen.append(inputs) or scene(host, **inputs)),
    )
    graph = {
        "1": graph["1"],
        "2": Node("LoadImageDataSetFromFolder", {"folder": "photos"}),
        "3": Node("ImageToMask", {"image": Link("2", 0), "channel": "red"}),
        "4": Node(
            RECONSTRUCT, {"model": Link("1", 0), "images": Link("2", 0), "masks": Link("3", 0), "resolution": 56}
        ),
        "5": Node("PreviewAny", {"source": Link("4", 7)}),
    }
    done = Runner(host).run(graph)
    assert [tuple(image.shape) for image in done["2"].outputs[0]] == [(1, 60, 80, 3), (1, 60, 80, 3), (1, 80, 60, 3)]
    assert [tuple(mask.shape) for mask in done["3"].outputs[0]] == [(1, 60, 80), (1, 60, 80), (1, 80, 60)]
    assert len(seen) == 1 and len(seen[0]["images"]) == 3 and seen[0]["resolution"] == [56]
    assert done["5"].ui["text"][0].startswith("3 frames")


def test_too_long_lists(host: FolderHost, graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RUNS", 2)
    graph = {
        "2": Node("LoadImageDataSetFromFolder", {"folder": "photos"}),
        "3": Node("PreviewImage", {"images": Link("2", 0)}),
    }
    with pytest.raises(WorkflowError, match=r"Node 3 \(Preview Image\): it would run 3 times"):
        Runner(host).run(graph)


def test_calls_of_a_run_are_bounded(host: FolderHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CALLS", 5)
    graph = {
        "1": Node("LoadImageDataSetFromFolder", {"folder": "photos"}),
        "2": Node("PreviewImage", {"images": Link("1", 0)}),
        "3": Node("ImageToMask", {"image": Link("1", 0), "channel": "red"}),
        "4": Node("PreviewAny", {"source": Link("3", 0)}),
    }
    with pytest.raises(WorkflowError, match="called more than 5 times"):
        Runner(host).run(graph)


def test_images_of_a_run_are_bounded(host: FolderHost) -> None:
    """Batches that double: each alone would fit, and what is kept from an earlier run does not count."""
    graph = {"0": Node("LoadImage", {"image": "photos/photo_0.jpg"})}
    for number in range(1, 12):
        link = Link(str(number - 1), 0)
        graph[str(number)] = Node("ImageBatch", {"image1": link, "image2": link})
    graph["show"] = Node("PreviewAny", {"source": Link("4", 0)})
    host.most_image_bytes = 60 * 80 * 3 * 4 * 31  # 1 + 2 + 4 + 8 + 16 images
    assert len(Runner(host).run(graph)) == 6
    graph["show"] = Node("PreviewAny", {"source": Link("11", 0)})
    with pytest.raises(WorkflowError, match=r"Node 5 \(Batch Images\): ComfyUI's own .*--max-image-gib"):
        Runner(host).run(graph)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("two\nlines"), r"^Node 4 \(Sparse VGGT Inference\): two lines$"),
        (KeyError("depth"), "KeyError 'depth'"),
        (ValueError(), "ValueError"),
        (torch.OutOfMemoryError("Out of memory: what fits"), "Out of memory: what fits"),
        (MemoryError(), "Out of memory: use fewer views"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "Out of memory: use fewer views"),
    ],
)
def test_failures_name_the_node(host: FolderHost, graph: Graph, error: Exception, words: str) -> None:
    def call(class_type: str, host: FolderHost, inputs: dict) -> Result:
        if class_type == RECONSTRUCT:
            raise error
        return runner.call_node(class_type, host, inputs)

    with pytest.raises(WorkflowError, match=words) as caught:
        Runner(host, call=call).run(graph)
    assert caught.value.__cause__ is error


def test_a_last_node_that_fails_costs_no_other(host: FolderHost, graph: Graph) -> None:
    def call(class_type: str, host: FolderHost, inputs: dict) -> Result:
        if class_type == "ManyView_Preview":
            raise OSError("the disk is full")
        return runner.call_node(class_type, host, inputs)

    first = {number: graph[number] for number in ("6", *(each for each in graph if each != "6"))}
    with pytest.raises(runner.Unfinished, match=r"^Node 6 .*: the disk is full$") as caught:
        Runner(host, call=call).run(first)
    assert set(caught.value.done) == set(graph) - {"6"}
    assert (host.output_folder / "manyview" / "scene_00001_" / "scene.glb").exists()


def test_files_that_are_gone_name_the_node(host: FolderHost, graph: Graph) -> None:
    found = kinds(host)
    (host.model_folder / "tiny.safetensors").unlink()
    with pytest.raises(WorkflowError, match=r"Node 1 \(Load Model\): 'tiny.safetensors' is not in the models folder"):
        Runner(host).run(graph, found=found)


def test_cancel(host: FolderHost, graph: Graph) -> None:
    watched = Watched(host)

    def stop(stage: str, done: int, total: int) -> None:
        if watched.ran[-1] == "4":
            raise Cancelled

    host.on_progress = stop
    with pytest.raises(Cancelled):
        watched.again(graph)
    host.on_progress = None
    assert watched.again(graph) == ["4", "5", "6", "7"], "what was finished is kept"


def test_dotted_names_become_dicts() -> None:
    known = kinds()
    inputs = {"method": "custom", "method.rho": 0.5}
    assert nested(inputs, known["ManyView_Sparsity"]) == {"method": {"method": "custom", "rho": 0.5}}
    assert nested({"images.image0": 1, "images.image1": 2}, known["BatchImagesNode"]) == {
        "images": {"image0": 1, "image1": 2}
    }
    assert nested({"a.b": 1}, known["PreviewAny"]) == {"a.b": 1}


def test_every_node_that_is_described_can_run() -> None:
    assert set(kinds()) == set(FUNCTIONS)


def test_a_saved_picture_carries_the_workflow(host: FolderHost) -> None:
    graph = {"1": Node("LoadImage", {"image": "photos/photo_0.jpg"}), "2": Node("SaveImage", {"images": Link("1", 0)})}
    done = Runner(host).run(graph)
    entry = done["2"].ui["images"][0]
    with Image.open(host.output_folder / entry["subfolder"] / entry["filename"]) as picture:
        assert json.loads(picture.info["prompt"])["1"]["inputs"]["image"] == "photos/photo_0.jpg"
