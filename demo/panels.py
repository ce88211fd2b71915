"""The parts of the page: what there is, not what it does (visits.py, runs.py, exchange.py)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from ..nodes import parameters
from . import settings as names
from . import views
from .controls import METHOD_FIELDS, Controls, formats_control, frames_control
from .display import UNKNOWN_SCALE
from .settings import Settings
from .texts import method_text

PAGE = Path(__file__).resolve().parent / "page"


@dataclass
class Page:
    """The components that events read and write."""

    controls: Controls = field(default_factory=Controls)
    parts: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["parts"][name]
        except KeyError:
            raise AttributeError(name) from None


def custom(name: str, elem_id: str, value: str = "", **options: Any) -> Any:
    """A component of our own: a template and a script of the folder page/."""
    template = (PAGE / f"{name}.html").read_text(encoding="utf-8")
    script = (PAGE / f"{name}.js").read_text(encoding="utf-8")
    return gr.HTML(
        value, html_template=template, js_on_load=script, elem_id=elem_id, apply_default_css=False, **options
    )


def make_page(models: list[str], schedules: list[str]) -> Page:
    """Everything; to be called inside gr.Blocks."""
    page = Page()
    custom("numbers", "numbers")
    page.parts["keepsake"] = gr.Textbox(visible=False)  # by which a page that is loaded again finds its session
    gr.HTML(
        '<div class="mv-title"><h1>ManyView</h1><p>Photos of one scene to cameras, depth and a point cloud.</p></div>'
    )
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=340):
            _inputs(page, models, schedules)
        with gr.Column(scale=9, min_width=360), gr.Tabs():
            _view_tab(page)
            _frames_tab(page)
            _cameras_tab(page)
            _report_tab(page)
            _compare_tab(page, schedules)
            _files_tab(page)
            _workflow_tab(page)
    return page


def _inputs(page: Page, models: list[str], schedules: list[str]) -> None:
    parts, controls = page.parts, page.controls
    parts["photos"] = custom("photos", "photos")
    with gr.Column(elem_id="run-bar"):
        with gr.Row():
            parts["run"] = gr.Button("Reconstruct", variant="primary", size="lg", elem_id="run", scale=3)
            parts["cancel"] = gr.Button("Cancel", size="lg", elem_id="cancel", interactive=False, scale=1, min_width=90)
        parts["status"] = custom("status", "status", value=views.status(None))
    with gr.Group():
        controls.add(
            "model", "model", gr.Dropdown(models, value="mini", label="Model", elem_id="model", filterable=False)
        )
        parts["model_text"] = gr.HTML(elem_id="model-text", elem_classes="mv-note mv-inside")
        parts["download"] = gr.Button("Download this model", visible=False, size="sm", elem_id="download")
    with gr.Group():
        _sparsity(page, "sparsity", "Attention", schedules)
    with gr.Accordion("Photos and frames", open=False):
        controls.make("images", names.IMAGES, "resolution", "limit", "selection", "frame_rate", "every", "start")
        controls.make("images", names.IMAGES, "resize", "order", "strict")
    with gr.Accordion("Precision and points", open=False):
        controls.make("model", names.MODEL, "precision")
        controls.make("inference", names.RECONSTRUCT, *names.INFERENCE)


def _sparsity(page: Page, group: str, title: str, schedules: list[str]) -> None:
    """A method and the fields that belong to it."""
    start = Settings().sparsity["method"] if group == "sparsity" else "dense"
    dropdown = gr.Dropdown(
        list(parameters.SPARSITY_CHOICES), value=start, label=title, elem_id=f"{group}-method", filterable=False
    )
    page.controls.add(group, "method", dropdown)
    page.parts[f"{group}_text"] = gr.HTML(method_text(start), elem_id=f"{group}-text", elem_classes="mv-note mv-inside")
    there = {each.name for each in names.known()[names.SPARSITY].present({"method": start})}
    fields = []
    for name in METHOD_FIELDS:
        fields += page.controls.make(group, names.SPARSITY, name, visible=name in there)
    fields[0].choices = [(name, name) for name in schedules]
    page.parts[f"{group}_fields"] = fields


def _view_tab(page: Page) -> None:
    with gr.Tab("3D view", id="view"):
        page.parts["viewer"] = custom("viewer", "viewer")
        with gr.Row():
            page.parts["scale_text"] = gr.HTML(UNKNOWN_SCALE, elem_id="scale-text", elem_classes="mv-note")
            page.parts["forget_scale"] = gr.Button("Forget scale", size="sm", visible=False, scale=0, min_width=120)
        gr.HTML("<b>Points</b> <span>Nothing here runs the network again.</span>", elem_classes="mv-note")
        with gr.Row():
            page.controls.make("points", names.POINTS, "confidence_percentile", "edge_filter")
        with gr.Row():
            page.controls.make("points", names.POINTS, "max_points")
            page.controls.add("points", "frames", frames_control())
        with gr.Row():
            page.controls.make("points", names.POINTS, "use_masks", "outlier_filter", "sky_filter")
            page.controls.make("points", names.POINTS, "backdrop_filter")
        with gr.Accordion("More", open=False), gr.Row():
            page.controls.make("points", names.POINTS, "confidence_threshold", "reduce", "seed")


def _frames_tab(page: Page) -> None:
    with gr.Tab("Depth and confidence", id="frames"):
        page.parts["frames"] = gr.HTML(_empty("Depth and confidence of every view"), elem_id="frames")


def _cameras_tab(page: Page) -> None:
    with gr.Tab("Cameras", id="cameras"):
        page.parts["cameras"] = gr.Dataframe(
            headers=views.CAMERA_COLUMNS, interactive=False, elem_id="cameras", show_label=False, wrap=False
        )
        gr.Markdown(
            "Position and rotation of camera to world in OpenCV axes; focal lengths in pixels of the originals."
        )


def _report_tab(page: Page) -> None:
    with gr.Tab("Report", id="report"):
        page.parts["report"] = gr.HTML(_empty("Seconds, memory and attention of the run"), elem_id="report")


def _compare_tab(page: Page, schedules: list[str]) -> None:
    with gr.Tab("Compare", id="compare"):
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=280), gr.Group():
                _sparsity(page, "against", "Compared with", schedules)
            with gr.Column(scale=3, min_width=300):
                gr.Markdown(
                    "Runs the same photos twice: with the attention chosen at the left, and with the one chosen here. "
                    "What has been computed already is not computed again."
                )
                page.parts["compare"] = gr.Button("Compare", variant="primary", elem_id="compare-run")
                page.parts["compare_saved"] = gr.Checkbox(label="Save the comparison with the workflow", value=False)
        page.parts["comparison"] = gr.HTML(elem_id="comparison")
        with gr.Row(visible=False, elem_classes="mv-pair") as pair:
            with gr.Column(min_width=300):
                page.parts["viewer_a"] = custom("viewer", "viewer-a")
            with gr.Column(min_width=300):
                page.parts["viewer_b"] = custom("viewer", "viewer-b")
        page.parts["pair"] = pair
        page.parts["differences"] = gr.HTML(elem_id="differences")


def _files_tab(page: Page) -> None:
    with gr.Tab("Files", id="files"):
        page.controls.add("formats", "formats", formats_control())
        with gr.Accordion("How they are written", open=False), gr.Row():
            start = names.file_values()
            kinds = {each.name: each for each in (*parameters.EXPORT,)}
            page.controls.add("files", "cameras", gr.Checkbox(start["cameras"], label="Cameras in the GLB"))
            page.controls.add("files", "colmap_text", gr.Checkbox(start["colmap_text"], label="COLMAP as text too"))
            most = kinds["colmap_points"]
            page.controls.add(
                "files",
                "colmap_points",
                gr.Number(most.default, minimum=1, precision=0, label="Most points for COLMAP", info=most.tooltip),
            )
            choices = list(kinds["depth_format"].choices)
            page.controls.add("files", "depth_format", gr.Dropdown(choices, value="png", label="Depth maps as"))
        page.parts["make_files"] = gr.Button("Make files", variant="primary", elem_id="make-files")
        page.parts["files"] = gr.HTML(elem_id="files")
        gr.Markdown("**Fly-through**: a film past the cameras, as MP4. It takes about a minute, and can be cancelled.")
        page.parts["fly"] = gr.Button("Make a fly-through video", elem_id="fly")
        page.parts["film"] = gr.HTML(elem_id="film")


def _workflow_tab(page: Page) -> None:
    parts = page.parts
    with gr.Tab("Workflow", id="workflow"):
        gr.Markdown(
            "These settings as a **ComfyUI workflow**: save it, open it in ComfyUI, and back. It opens JSON files, "
            "a GLB made here, and pictures that ComfyUI saved: those carry a workflow inside."
        )
        with gr.Row():
            parts["save_workflow"] = gr.Button("Save workflow", elem_id="save-workflow")
            parts["open_workflow"] = gr.UploadButton(
                "Open workflow", file_types=[".json", ".png", ".glb"], elem_id="open-workflow"
            )
            parts["run_workflow"] = gr.Button("Run it as it is", elem_id="run-workflow", interactive=False)
            parts["download_opened"] = gr.Button("Download its model", visible=False, elem_id="download-opened")
        parts["address"] = gr.Textbox(visible=False)
        parts["workflow"] = gr.HTML(elem_id="workflow")


def _empty(text: str) -> str:
    return f'<p class="mv-quiet">{text} come here once a scene is reconstructed.</p>'
