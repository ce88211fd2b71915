"""A visitor's photos and results as the values of the page's own components."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..workflows.runner import Done
from .photos import sample_names
from .routes import PREFIX, entry_url
from .sessions import Session
from .settings import START_SOURCE, Settings

UNKNOWN_SCALE = "Scale unknown: choose the ruler, click two points, and give their true distance."


def photo_list(session: Session | None) -> str:
    """What the list of photos shows; without a session, what every visitor begins with."""
    if session is None:
        return json.dumps({**_sample(START_SOURCE), "given": ""})
    return json.dumps({**_listed(session), "given": session.photos.given})


def _listed(session: Session) -> dict[str, Any]:
    photos, base = session.photos, f"{PREFIX[1:]}/files/{session.token}"
    if photos.sample is not None:
        return _sample(photos.sample)
    if photos.video is not None:
        url = f"{base}/video.jpg?{photos.video.name}"
        item = {"id": "video", "name": photos.video.name, "url": url}
        return {"kind": "video", "items": [item], "text": f"Video: {photos.video.name}"}
    items = [
        {"id": each.number, "name": each.name, "url": f"{base}/photo/{each.number}.jpg", "mask": each.mask is not None}
        for each in photos.photos
    ]
    masks = sum(each.mask is not None for each in photos.photos)
    text = f"{len(items)} photo{'s' if len(items) > 1 else ''}" if items else "No photos yet"
    return {"kind": "photos", "items": items, "text": f"{text}, {masks} with masks" if masks else text}


def _sample(name: str) -> dict[str, Any]:
    names = sample_names(name)
    items = [{"id": name, "name": name, "url": f"{PREFIX[1:]}/sample/{name}"} for name in names]
    text = f"Sample scene: {len(names)} photos" if names else "Sample video: 3 seconds of a walk"
    return {"kind": "photos" if names else "video", "items": items, "text": text}


def frame_choices(names: Sequence[str]) -> list[tuple[str, str]]:
    """What the picker of frames offers, as (what it is called, number)."""
    return [(f"{frame}: {name}", str(frame)) for frame, name in enumerate(names)]


def viewer_value(
    session: Session,
    files: Any,
    done: Mapping[str, Done],
    options: Mapping[str, Any] | None = None,
    unit: float = 1.0,
) -> str:
    """What a viewer is to show; its view stays as long as `scene` does. unit: what makes it as large as its pair."""
    cloud, cameras = (entry_url(session, each) for each in files)
    scenes = [each.ui["manyview_scene"][0] for each in done.values() if "manyview_scene" in each.ui]
    scene = scenes[0] if scenes else ""
    return json.dumps({"cloud": cloud, "cameras": cameras, "scene": scene, "options": options or {}, "unit": unit})


def scale_text(settings: Settings) -> str:
    """What is known of the scale."""
    if settings.scale is None:
        return UNKNOWN_SCALE
    factor = settings.scale["meters"] / settings.scale["measured"]
    return f"<b>In metres</b>: one unit of the model is {factor:.4g} m. Files and cameras have this scale."
