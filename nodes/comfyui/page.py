"""What ComfyUI's page asks of us beside the files of web/: the viewer as one page, and a folder of results as a zip."""

import asyncio
import hashlib
import uuid
import zipfile
from pathlib import Path
from typing import Any

import folder_paths

from ..graph.host import inside
from ..viewer_page import viewer_page

NO_COMPRESSION = {".jpg", ".jpeg", ".png", ".webp", ".mp4", ".npz"}  # they are packed already


def register_routes() -> None:
    """GET /manyview/viewer and /manyview/zip?folder=...; nothing here writes into a folder of the user."""
    import server  # ComfyUI's own, which runs by now

    routes, web = server.PromptServer.instance.routes, server.web

    @routes.get("/manyview/viewer")
    async def viewer(request: Any) -> Any:
        page = await asyncio.to_thread(viewer_page)
        tag = f'"{hashlib.sha256(page.encode()).hexdigest()[:32]}"'
        about = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=about)
        return web.Response(text=page, content_type="text/html", headers=about)

    @routes.get("/manyview/zip")
    async def packed(request: Any) -> Any:
        name = request.query.get("folder", "")
        try:
            file = await asyncio.to_thread(zip_of, name)
        except (ValueError, FileNotFoundError) as error:
            return web.Response(status=404, text=str(error))
        about = {"Content-Disposition": f'attachment; filename="{file.name}"', "Cache-Control": "no-store"}
        return web.FileResponse(file, headers=about)


def zip_of(name: str) -> Path:
    """A zip in the temp folder of a folder below the output folder; made anew when a file of it has changed."""
    output = Path(folder_paths.get_output_directory())
    folder = inside(output, name)
    if not folder.is_dir() or folder == Path(output).resolve():
        raise ValueError(f"{name!r} is no folder below the output folder; name one that an export node wrote.")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    state = repr([(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files])
    place = Path(folder_paths.get_temp_directory()) / "manyview_zip" / hashlib.sha256(state.encode()).hexdigest()[:16]
    target = place / f"{name.strip('/').replace('/', '_').encode('ascii', 'replace').decode().replace('?', '_')}.zip"
    if target.exists():
        return target
    place.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{uuid.uuid4().hex}.part")
    with zipfile.ZipFile(partial, "w") as archive:
        for path in files:
            kind = zipfile.ZIP_STORED if path.suffix.lower() in NO_COMPRESSION else zipfile.ZIP_DEFLATED
            archive.write(path, path.relative_to(folder).as_posix(), kind, 1)
    partial.replace(target)
    return target
