"""Writes example_workflows/*.json and subgraphs/*.json: python tests/make_workflows.py

One description of each graph gives the form that ComfyUI's page opens and the form that its server runs; a test compares
the files with what this makes. Core nodes are taken from ../shared/comfyui_object_info.json.
"""

import json
import runpy
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT.parent / "shared" / "comfyui_object_info.json"
VERSION = "0.1.0"
DYNAMIC = "COMFY_DYNAMICCOMBO_V3"
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", DYNAMIC)
VGGT = {
    "name": "vggt-1b.safetensors",
    "url": "https://huggingface.co/facebook/VGGT-1B/resolve/860abec7937da0a4c03c41d3c269c366e82abdf9/model.safetensors",
    "directory": "manyview",
}
SAMPLE, VIDEO = "sample scene of ManyView", "sample video of ManyView"


def definitions() -> dict[str, Any]:
    """Our nodes, and the core nodes that graphs of ours use."""
    return {
        **json.loads(CORE.read_text(encoding="utf-8")),
        **json.loads((ROOT / "nodes" / "object_info.json").read_text(encoding="utf-8")),
    }


class Graph:
    """A graph that is being built; `add` returns the number of the new node."""

    def __init__(self, info: dict[str, Any]) -> None:
        self.info = info
        self.nodes: list[dict[str, Any]] = []
        self.links: list[list[Any]] = []
        self.groups: list[dict[str, Any]] = []
        self.prompt: dict[str, Any] = {}

    def add(
        self,
        class_type: str,
        place: tuple[int, int],
        size: tuple[int, int],
        *,
        title: str | None = None,
        models: list[dict[str, str]] | None = None,
        **inputs: Any,
    ) -> int:
        """A node; an input that is a tuple (node, output) is a link."""
        number = len(self.nodes) + 1
        about = self.info[class_type]
        ours = class_type.startswith("ManyView_")
        properties = {"Node name for S&R": class_type, "cnr_id": "manyview" if ours else "comfy-core"}
        properties["ver"] = VERSION if ours else "0.28.0"
        if models:
            properties["models"] = models
        node: dict[str, Any] = {"id": number, "type": class_type, "pos": list(place), "size": list(size)}
        node |= {"flags": {}, "order": number - 1, "mode": 0, "inputs": [], "outputs": []}
        if title:
            node["title"] = title
        self.nodes.append({**node, "properties": properties, "widgets_values": []})
        node = self.nodes[-1]
        for slot, (name, kind) in enumerate(zip(about["output_name"], about["output"], strict=True)):
            node["outputs"].append({"name": name, "type": kind, "slot_index": slot, "links": []})
        given: dict[str, Any] = {}
        self._fill(node, about["input"], "", {name.replace("__", "."): value for name, value in inputs.items()}, given)
        left = set(inputs) - {name.replace(".", "__") for name in given}
        if left:
            raise ValueError(f"{class_type} has no inputs {sorted(left)}.")
        self.prompt[str(number)] = {
            "class_type": class_type,
            "inputs": given,
            "_meta": {"title": title or about["display_name"]},
        }
        return number

    def note(self, place: tuple[int, int], size: tuple[int, int], text: str) -> None:
        """A note in Markdown, in the page's own colours and without code: Nodes 2.0 shows that dark on dark."""
        number = len(self.nodes) + 1
        node = {"id": number, "type": "MarkdownNote", "pos": list(place), "size": list(size), "flags": {}, "order": 0}
        node |= {"mode": 0, "inputs": [], "outputs": [], "properties": {}, "widgets_values": [text]}
        self.nodes.append(node)

    def group(self, title: str, box: tuple[int, int, int, int], colour: str) -> None:
        """A titled frame: left, top, width, height."""
        self.groups.append({"title": title, "bounding": list(box), "color": colour, "font_size": 24, "flags": {}})

    def page_form(self) -> dict[str, Any]:
        """What ComfyUI's page opens."""
        last = max((link[0] for link in self.links), default=0)
        extra = {"ds": {"scale": 0.75, "offset": [60, 90]}}
        return {
            "last_node_id": len(self.nodes),
            "last_link_id": last,
            "nodes": self.nodes,
            "links": self.links,
            "groups": self.groups,
            "config": {},
            "extra": extra,
            "version": 0.4,
        }

    def _fill(self, node: dict, inputs: dict, prefix: str, wanted: dict[str, Any], given: dict[str, Any]) -> None:
        for part in ("required", "optional"):
            for name, (kind, *options) in inputs.get(part, {}).items():
                self._input(node, prefix + name, kind, options[0] if options else {}, wanted, given, part == "optional")

    def _input(self, node: dict, name: str, kind: Any, about: dict, wanted: dict, given: dict, optional: bool) -> None:
        kind = "COMBO" if isinstance(kind, list) else kind
        slot: dict[str, Any] = {"name": name, "type": kind, "link": None}
        value = wanted.get(name)
        if isinstance(value, tuple):
            slot["link"] = self._link(value, node, len(node["inputs"]), kind)
            given[name] = [str(value[0]), value[1]]
        is_widget = kind in WIDGETS and not about.get("forceInput")
        if optional and not is_widget:
            slot["shape"] = 7
        if is_widget:
            slot["widget"] = {"name": name}
            if not isinstance(value, tuple):
                given[name] = value = default(kind, about) if value is None else value
            node["widgets_values"].append(None if isinstance(value, tuple) else value)
        node["inputs"].append(slot)
        if kind == DYNAMIC:
            option = next(each for each in about["options"] if each["key"] == value)
            self._fill(node, option["inputs"], f"{name}.", wanted, given)
        if about.get("image_upload") or about.get("video_upload"):
            node["widgets_values"].append("image")

    def _link(self, source: tuple[int, int], node: dict, slot: int, kind: str) -> int:
        number = len(self.links) + 1
        output = self.nodes[source[0] - 1]["outputs"][source[1]]
        if output["type"] not in kind.split(",") and kind != "*":
            raise ValueError(f"{output['type']} does not go into {kind} of {node['type']}.")
        output["links"].append(number)
        self.links.append([number, source[0], source[1], node["id"], slot, output["type"]])
        return number


def default(kind: str, about: dict[str, Any]) -> Any:
    """What a widget holds at first."""
    if "default" in about:
        return about["default"]
    if kind == DYNAMIC:
        return about["options"][0]["key"]
    return {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}.get(
        kind, next(iter(about.get("options") or []), "")
    )


def quick_start(info: dict[str, Any]) -> Graph:
    """Sample photos to a cloud, with the bundled model."""
    graph = Graph(info)
    model = graph.add("ManyView_LoadModel", (0, 0), (330, 150), model="mini")
    images = graph.add("ManyView_LoadImages", (0, 260), (330, 330), source=SAMPLE, model=(model, 0))
    sparsity = graph.add("ManyView_Sparsity", (0, 790), (330, 100))
    scene = graph.add(
        "ManyView_Reconstruct", (400, 0), (340, 420), model=(model, 0), images=(images, 0), sparsity=(sparsity, 0)
    )
    points = graph.add("ManyView_PointCloud", (810, 0), (340, 280), scene=(scene, 0), confidence_percentile=20.0)
    graph.add("ManyView_Preview", (1220, 0), (760, 720), scene=(scene, 0), points=(points, 0))
    graph.add("ManyView_ExportPointCloud", (810, 420), (340, 260), scene=(scene, 0), points=(points, 0))
    graph.note(
        (0, -330),
        (740, 270),
        "## ManyView: photos to a point cloud\n\nPress **Run**. The sample and the model *mini* come with the pack, "
        "nothing is downloaded.\n\n- **Your photos**: press *Upload photos or a video* in *Load Images*, or drop them on "
        "it. LoadImage nodes and videos can be connected to *images* as well.\n- **A better "
        "model**: choose **vggt-1b** or **pi3** in *Load Model*; if it is not on this computer, the error says where to get "
        "it (non-commercial licences).\n- Changing *Point Cloud* does not run the model again.",
    )
    return graph


def dense_against_sparse(info: dict[str, Any]) -> Graph:
    """The same views with all of attention and with a part of it."""
    graph = Graph(info)
    model = graph.add("ManyView_LoadModel", (0, 0), (330, 150), model="mini")
    images = graph.add("ManyView_LoadImages", (0, 260), (330, 330), source=SAMPLE, model=(model, 0))
    graph.note(
        (0, 790),
        (330, 330),
        "## Dense against sparse\n\nBoth rows see the same views with the same weights. The reports show the share of "
        "attention computed, seconds and memory.\n\nThe sample is small: below **min_tokens** sparse attention would not "
        "be faster and stays dense, so it is set to 1 here. With hundreds of views leave it at 0.\n\n*Sparsity Report*: "
        "click a place in a view and run again to see where it looks.",
    )
    scenes = []
    rows = (("Dense", 0, {"method": "dense"}), ("Sparse", 1040, {"method": "balanced", "method__min_tokens": 1}))
    for title, top, chosen in rows:
        sparsity = graph.add("ManyView_Sparsity", (400, top), (330, 110), title=f"Sparsity Control ({title})", **chosen)
        scene = graph.add(
            "ManyView_Reconstruct",
            (400, top + 170),
            (330, 460),
            model=(model, 0),
            images=(images, 0),
            sparsity=(sparsity, 0),
        )
        scenes.append(scene)
        points = graph.add("ManyView_PointCloud", (800, top), (330, 300), scene=(scene, 0))
        graph.add(
            "ManyView_SparsityReport",
            (1750, top),
            (480, 900),
            scene=(scene, 0),
            model=(model, 0),
            sparsity=(sparsity, 0),
        )
        graph.add(
            "ManyView_Preview",
            (1140, top),
            (490, 640),
            scene=(scene, 0),
            points=(points, 0),
            title=f"Preview ({title})",
        )
    compare = graph.add("ManyView_Compare", (0, 1230), (330, 200), scene=(scenes[1], 0), reference=(scenes[0], 0))
    graph.add("PreviewImage", (0, 1490), (330, 330), images=(compare, 0), title="Depth difference: red is most")
    graph.group("Dense: all pairs of tokens", (385, -70, 1860, 1010), "#3f789e")
    graph.group("Sparse: the blocks that matter", (385, 970, 1860, 1010), "#8a6d3b")
    return graph


def video_to_colmap(info: dict[str, Any]) -> Graph:
    """Frames of a video to a project for Gaussian splatting."""
    graph = Graph(info)
    model = graph.add("ManyView_LoadModel", (0, 0), (330, 150), model="mini")
    images = graph.add(
        "ManyView_LoadImages", (0, 260), (330, 330), source=VIDEO, limit=16, selection="even", model=(model, 0)
    )
    sparsity = graph.add("ManyView_Sparsity", (0, 790), (330, 100))
    scene = graph.add(
        "ManyView_Reconstruct", (400, 0), (340, 420), model=(model, 0), images=(images, 0), sparsity=(sparsity, 0)
    )
    points = graph.add(
        "ManyView_PointCloud", (810, 0), (340, 280), scene=(scene, 0), confidence_percentile=30.0, max_points=200_000
    )
    graph.add("ManyView_Preview", (1220, 0), (760, 720), scene=(scene, 0), points=(points, 0))
    graph.add("ManyView_ExportCOLMAP", (810, 420), (340, 240), scene=(scene, 0), points=(points, 0), colmap_text=True)
    graph.note(
        (0, -300),
        (740, 240),
        "## Video to COLMAP, for Gaussian splatting\n\nUpload your video in *Load Images* (files in ComfyUI's **input** "
        "folder are listed too). **limit** and *even* take frames from the whole film; **frame_rate** takes so many a second.\n\n"
        "*Export COLMAP* writes **sparse/0** and **images** below **output/manyview**, the frames at the video's own "
        "resolution with cameras to match. Open that folder with gsplat, Nerfstudio, Brush, Postshot ...",
    )
    return graph


def masks(info: dict[str, Any]) -> Graph:
    """Leaving parts of the pictures out."""
    graph = Graph(info)
    model = graph.add("ManyView_LoadModel", (0, 0), (330, 150), model="mini")
    images = graph.add("ManyView_LoadImages", (0, 260), (330, 330), source=SAMPLE, model=(model, 0))
    mask = graph.add("ImageToMask", (400, 820), (340, 90), image=(images, 1), channel="red")
    scene = graph.add(
        "ManyView_Reconstruct", (400, 0), (340, 460), model=(model, 0), images=(images, 1), masks=(mask, 0)
    )
    shown = graph.add("MaskToImage", (400, 970), (340, 60), mask=(mask, 0))
    graph.add("PreviewImage", (810, 420), (340, 300), images=(shown, 0), title="White is used")
    points = graph.add("ManyView_PointCloud", (810, 0), (340, 280), scene=(scene, 0))
    graph.add("ManyView_Preview", (1220, 0), (760, 720), scene=(scene, 0), points=(points, 0))
    graph.note(
        (0, 790),
        (330, 330),
        "## Masks\n\nWhite pixels become points, black ones do not: people, sky, a turntable. Here the red channel "
        "stands for a mask, so that it runs as it is; put your segmentation (SAM, background removal ...) in its place.\n\n"
        "Photos with transparency need no mask: *Load Images* reads it. The network sees whole pictures either way.",
    )
    return graph


def big_scene(info: dict[str, Any]) -> Graph:
    """Settings for hundreds of views."""
    graph = Graph(info)
    model = graph.add("ManyView_LoadModel", (0, 0), (330, 150), model="mini", models=[VGGT])
    images = graph.add(
        "ManyView_LoadImages", (0, 260), (330, 330), source=SAMPLE, limit=300, selection="even", model=(model, 0)
    )
    sparsity = graph.add("ManyView_Sparsity", (0, 790), (330, 110), method="fast")
    scene = graph.add(
        "ManyView_Reconstruct",
        (400, 0),
        (340, 460),
        model=(model, 0),
        images=(images, 0),
        sparsity=(sparsity, 0),
        frame_chunk=2,
    )
    points = graph.add(
        "ManyView_PointCloud",
        (810, 0),
        (340, 280),
        scene=(scene, 0),
        confidence_percentile=40.0,
        max_points=3_000_000,
    )
    graph.add("ManyView_Preview", (1220, 0), (760, 720), scene=(scene, 0), points=(points, 0))
    graph.add("ManyView_ExportPointCloud", (810, 420), (340, 260), scene=(scene, 0), points=(points, 0))
    graph.add("PreviewAny", (810, 780), (340, 230), source=(scene, 7), title="Report")
    graph.note(
        (0, -350),
        (740, 290),
        "## Big scenes\n\nFor hundreds of views choose **vggt-1b** or **pi3** in *Load Model* and your folder in *Load "
        "Images*.\n\n- **Time** grows with the square of the views: *fast* computes the smallest part of attention.\n"
        "- **Memory** grows with views and resolution: **frame_chunk** 2 keeps the heads small; if it runs out, the error "
        "says which **limit** or **resolution** fits this card.\n- *even* takes **limit** views from the whole set.\n- "
        "**max_points** bounds what viewers and files have to carry.",
    )
    return graph


def vggt_1b(info: dict[str, Any]) -> Graph:
    """VGGT-1B on your own photos; the page offers the download."""
    graph = Graph(info)
    model = graph.add("ManyView_LoadModel", (0, 0), (330, 150), model=VGGT["name"], models=[VGGT])
    images = graph.add("ManyView_LoadImages", (0, 260), (330, 330), source=SAMPLE, model=(model, 0))
    sparsity = graph.add("ManyView_Sparsity", (0, 790), (330, 100))
    scene = graph.add(
        "ManyView_Reconstruct", (400, 0), (340, 420), model=(model, 0), images=(images, 0), sparsity=(sparsity, 0)
    )
    points = graph.add("ManyView_PointCloud", (810, 0), (340, 280), scene=(scene, 0))
    graph.add("ManyView_Preview", (1220, 0), (760, 720), scene=(scene, 0), points=(points, 0))
    graph.note(
        (0, -300),
        (740, 240),
        "## VGGT-1B\n\nThe page offers the download (5.0 GB). The file belongs into **models/manyview** under the name "
        "**vggt-1b.safetensors**; a browser may save it as **model.safetensors**, then rename it.\n\nVGGT-1B is under "
        "**CC BY-NC 4.0: non-commercial use only**. For commercial use see *vggt-1b-commercial* in *Load Model*.",
    )
    return graph


def photos_to_point_cloud(info: dict[str, Any]) -> dict[str, Any]:
    """A subgraph blueprint: images in, a scene, its points and a PLY out, with the widgets that matter outside."""
    graph = Graph(info)
    model = graph.add("ManyView_LoadModel", (0, 0), (330, 150))
    sparsity = graph.add("ManyView_Sparsity", (0, 220), (330, 110))
    scene = graph.add("ManyView_Reconstruct", (400, 0), (340, 460), model=(model, 0), sparsity=(sparsity, 0))
    points = graph.add("ManyView_PointCloud", (810, 0), (340, 260), scene=(scene, 0))
    inside = Boundary(graph)
    inside.take(scene, "images")
    widgets = (
        (model, "model"),
        (sparsity, "method"),
        (scene, "limit"),
        (points, "confidence_percentile"),
        (points, "max_points"),
    )
    for number, name in widgets:
        inside.take(number, name)
    for number, name in ((scene, "scene"), (points, "points"), (points, "ply"), (scene, "report")):
        inside.give(number, name)
    return inside.page_form(BLUEPRINT, "Photos of one scene to cameras and a coloured point cloud.")


class Boundary:
    """What of a graph is to be seen from outside, once it is a subgraph."""

    INSIDE, OUTSIDE = -10, -20  # the page's numbers for the nodes that stand for inputs and outputs

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.inputs: list[dict[str, Any]] = []
        self.outputs: list[dict[str, Any]] = []
        self.links = [dict(zip(LINK, link, strict=True)) for link in graph.links]
        self.values: list[Any] = []

    def take(self, number: int, name: str) -> None:
        """An input of a node is one of the subgraph."""
        node = self.graph.nodes[number - 1]
        slot = next(place for place, each in enumerate(node["inputs"]) if each["name"] == name)
        kind, link = node["inputs"][slot]["type"], self._link(self.INSIDE, len(self.inputs), number, slot)
        node["inputs"][slot]["link"] = link
        self.links[-1]["type"] = kind
        top = 20 * len(self.inputs)
        self.inputs.append({"id": uuid(name), "name": name, "type": kind, "linkIds": [link], "pos": [-190, top]})
        if "widget" in node["inputs"][slot]:
            self.values.append(self.graph.prompt[str(number)]["inputs"][name])

    def give(self, number: int, name: str) -> None:
        """An output of a node is one of the subgraph."""
        outputs = self.graph.nodes[number - 1]["outputs"]
        slot = next(place for place, each in enumerate(outputs) if each["name"] == name)
        link = self._link(number, slot, self.OUTSIDE, len(self.outputs))
        outputs[slot]["links"].append(link)
        self.links[-1]["type"] = outputs[slot]["type"]
        place = [1250, 20 * len(self.outputs)]
        self.outputs.append(
            {"id": uuid(f"out {name}"), "name": name, "type": outputs[slot]["type"], "linkIds": [link], "pos": place}
        )

    def page_form(self, name: str, description: str) -> dict[str, Any]:
        """A page with one node: the subgraph."""
        number = uuid(name)
        definition = {
            "id": number,
            "version": 1,
            "state": {
                "lastGroupId": 0,
                "lastNodeId": len(self.graph.nodes) + 1,
                "lastLinkId": len(self.links),
                "lastRerouteId": 0,
            },
            "revision": 0,
            "config": {},
            "name": name,
            "inputNode": {"id": self.INSIDE, "bounding": [-320, 0, 150, 40 + 20 * len(self.inputs)]},
            "outputNode": {"id": self.OUTSIDE, "bounding": [1220, 0, 130, 40 + 20 * len(self.outputs)]},
            "inputs": self.inputs,
            "outputs": self.outputs,
            "widgets": [],
            "nodes": self.graph.nodes,
            "groups": [],
            "links": self.links,
            "extra": {},
            "category": "3d",
            "description": description,
        }
        return {
            "revision": 0,
            "last_node_id": len(self.graph.nodes) + 1,
            "last_link_id": 0,
            "nodes": [self._outer(number, name)],
            "links": [],
            "version": 0.4,
            "definitions": {"subgraphs": [definition]},
            "extra": {
                "BlueprintDescription": description,
                "BlueprintSearchAliases": self.graph.info["ManyView_Reconstruct"]["search_aliases"],
            },
        }

    def _outer(self, number: str, name: str) -> dict[str, Any]:
        inputs = [{"name": each["name"], "type": each["type"], "link": None} for each in self.inputs]
        shown = [each for each in inputs if each["type"] in WIDGETS]
        for each in shown:
            each["widget"] = {"name": each["name"]}
        outputs = [{"name": each["name"], "type": each["type"], "links": None} for each in self.outputs]
        properties = {"proxyWidgets": [["-1", each["name"]] for each in shown], "cnr_id": "manyview", "ver": VERSION}
        node = {"id": len(self.graph.nodes) + 1, "type": number, "pos": [0, 0], "size": [400, 240], "flags": {}}
        node |= {"order": 0, "mode": 0, "inputs": inputs, "outputs": outputs, "title": name}
        return {**node, "properties": properties, "widgets_values": self.values}

    def _link(self, origin: int, slot: int, target: int, place: int) -> int:
        number = len(self.links) + 1
        self.links.append(dict(zip(LINK, (number, origin, slot, target, place, ""), strict=True)))
        return number


LINK = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")


def uuid(name: str) -> str:
    """A number for a part of a subgraph, the same each time."""
    return str(uuid5(NAMESPACE_URL, f"manyview/{name}"))


WORKFLOWS = {
    "1 Quick Start": quick_start,
    "2 Dense against Sparse": dense_against_sparse,
    "3 Video to COLMAP": video_to_colmap,
    "4 Masks": masks,
    "5 Big Scene": big_scene,
    "6 VGGT-1B": vggt_1b,
}
# Its name is what the node search reads first, before aliases.
BLUEPRINT = "Photos to Point Cloud (multi-view, SfM, SLAM, DUSt3R)"
NEEDS_DOWNLOAD = {"6 VGGT-1B"}


def files() -> dict[Path, dict[str, Any]]:
    """Every file that this program writes, and what it holds."""
    info = definitions()
    found = {ROOT / "example_workflows" / f"{name}.json": make(info).page_form() for name, make in WORKFLOWS.items()}
    found[ROOT / "subgraphs" / f"{BLUEPRINT}.json"] = photos_to_point_cloud(info)
    return found


def prompts() -> dict[str, dict[str, Any]]:
    """The graphs in the form that the server runs."""
    info = definitions()
    return {name: make(info).prompt for name, make in WORKFLOWS.items()}


def text(value: dict[str, Any]) -> str:
    """The file's content."""
    return json.dumps(value, indent=1) + "\n"


if __name__ == "__main__":
    runpy.run_path(str(ROOT / "__main__.py"), run_name="manyview_registration")
    for path, value in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text(value), encoding="utf-8")
        print(path.relative_to(ROOT))
