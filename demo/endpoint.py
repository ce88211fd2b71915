"""The endpoint `reconstruct`, for gradio_client, plain HTTP and as an MCP tool."""

import json
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from ..nodes import parameters
from ..nodes.graph.cameras import camera_text
from ..nodes.graph.sparsity_report import density_of
from ..scene.verdict import verdict
from . import work
from .given import file_input, files_of
from .jobs import Job
from .server import Server, result_of, sentence
from .settings import IMAGES, MODEL, POINTS, SPARSITY, Settings, defaults
from .texts import plain

KEPT_S = 3600  # for how long the files of an answer can be fetched


def add_endpoint(server: Server) -> None:
    """Offer `reconstruct`; to be called inside gr.Blocks."""
    formats = list(parameters.EXPORT_FORMATS)
    with gr.Group(visible=False):
        inputs = [
            file_input(),
            gr.Dropdown(list(parameters.MODEL_CHOICES), value="mini", label="model"),
            gr.Dropdown(list(parameters.SPARSITY_CHOICES[:-2]), value="quality", label="method"),
            gr.Number(0, precision=0, label="resolution"),
            gr.Number(0, precision=0, label="limit"),
            gr.Number(10, label="confidence_percentile"),
            gr.Number(1_000_000, precision=0, label="max_points"),
            gr.CheckboxGroup(formats, value=["ply", "glb"], label="formats"),
        ]
        outputs = [gr.JSON(label="summary"), gr.File(file_count="multiple", label="files")]
        button = gr.Button()

    async def reconstruct(
        photos: list[Any],
        model: str = "mini",
        method: str = "quality",
        resolution: int = 0,
        limit: int = 0,
        confidence_percentile: float = 10,
        max_points: int = 1_000_000,
        formats: list[str] | None = None,
        request: gr.Request = None,
    ) -> tuple[dict[str, Any], list[str]]:
        """Reconstruct a scene in 3D from photos of it, or from one video: cameras, depth and a coloured point cloud.

        Args:
            photos: Photos of the same scene from different places, or one video: web addresses or data: URIs.
            model: Which network: mini (bundled, rough), vggt-1b or pi3 (non-commercial use only), vggt-1b-commercial.
            method: How much of attention is computed: dense (all), quality, balanced, fast, long (hundreds of photos).
            resolution: Longer side in pixels that the network sees, a multiple of 14; 0 for its own.
            limit: At most so many photos or frames; 0 for all photos, or 32 frames of a video.
            confidence_percentile: Leaves out this share of the points in percent, least certain first.
            max_points: Keeps at most this many points.
            formats: Files to write, of ply, glb, colmap, npz, depth, preview.

        Returns:
            A summary with the cameras (OpenCV axes, world to camera), a verdict (good, doubtful, a guess), notes
            on photos that were left out, seconds, memory and attention; and the files.
        """
        settings = Settings(
            model=defaults(MODEL, {"model": model}),
            images=defaults(IMAGES, {"resolution": int(resolution), "limit": int(limit), "selection": "even"}),
            sparsity=defaults(SPARSITY, {"method": method}),
            points=defaults(
                POINTS, {"confidence_percentile": float(confidence_percentile), "max_points": int(max_points)}
            ),
            formats=tuple(formats or ()),
        )
        try:
            with server.places.taken(server.guest(request)), TemporaryDirectory(dir=server.root) as folder:
                files = await files_of(photos or [], Path(folder), server.uploads, server.limits)
                return await result_of(
                    server.jobs, server.jobs.submit(lambda job: answer(server, settings, files, job))
                )
        except Exception as error:
            raise gr.Error(sentence(error), print_exception=False) from error

    button.click(reconstruct, inputs, outputs, api_name="reconstruct", api_visibility="public", concurrency_limit=None)


def answer(server: Server, settings: Settings, files: list[Path], job: Job) -> tuple[dict[str, Any], list[str]]:
    """Reconstruct in a session that ends here, and keep its files for a while."""
    session = server.sessions.make()
    try:
        problems = session.photos.add([(path, path.name) for path in files])
        settings = replace(settings, images={**settings.images, "source": session.photos.source})
        outcome = work.reconstruct(session, settings, job)
        written = work.write_files(session, settings, job) if settings.formats else work.Written([], [])
        told = summary(outcome, len(files), problems, written.notes)
        return told, [str(path) for path in keep(server.answers, written.files)]
    finally:
        session.close()


def keep(folder: Path, files: list[Path]) -> list[Path]:
    """The files in a new folder; those of answers that are too old are deleted."""
    for old in folder.iterdir() if folder.exists() else ():
        if time.time() - old.stat().st_mtime > KEPT_S:
            shutil.rmtree(old, ignore_errors=True)
    target = folder / secrets.token_hex(12)
    target.mkdir(parents=True)
    return [Path(shutil.move(path, target / path.name)) for path in files]


def summary(outcome: work.Outcome, files: int, problems: list[str], unwritten: Sequence[str] = ()) -> dict[str, Any]:
    """A run in numbers; `confidence` has a verdict and what to do, `notes` say what could not be used or written."""
    scene = outcome.scene
    return {
        "files": files,
        "views": len(scene),
        "confidence": verdict(scene).to_dict(),
        "notes": list(dict.fromkeys((*map(plain, problems), *outcome.notes, *unwritten))),
        "points": len(outcome.cloud),
        "seconds": {stage: round(value, 3) for stage, value in scene.timings.items()},
        "peak_memory_bytes": scene.peak_memory_bytes,
        "attention_computed": round(float(density_of(scene).mean()), 4),
        "model": scene.model,
        "cameras": json.loads(camera_text(scene)),
    }
