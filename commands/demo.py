"""A web app on this computer: photos or a video in, a 3D scene out, and workflows for ComfyUI.

Only this computer can reach it, unless --host or --share is given; then use --auth as well. Nothing is sent to other
computers. What visitors upload and make is deleted when they leave, and at the latest when the program ends.
"""

import argparse
import os
import signal
import threading
from pathlib import Path
from typing import NoReturn

from ._options import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Who may come, and what they may do."""
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all (default: 127.0.0.1)"
    )
    parser.add_argument("--port", type=int, metavar="N", help="port (default: the first free one from 7860 on)")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        type=name_of_host,
        metavar="NAME",
        help="also answer to this name, as behind a proxy, and let its pages show the demo; may be given several times",
    )
    parser.add_argument("--share", action="store_true", help="also a public address, through gradio's tunnel")
    parser.add_argument(
        "--auth",
        action="append",
        default=[],
        type=name_and_password,
        metavar="NAME:PASSWORD",
        help="let in only who knows this; may be given several times; MANYVIEW_AUTH holds one too",
    )
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    parser.add_argument("--device", default="auto", help="cpu, cuda ... (default: auto)")
    parser.add_argument(
        "--models", type=Path, metavar="DIR", help="folder of weights (default: ~/.cache/manyview/models)"
    )
    parser.add_argument("--no-downloads", action="store_true", help="visitors cannot download models")
    parser.add_argument("--no-mcp", action="store_true", help="no MCP server; with --auth there is none either")
    parser.add_argument(
        "--max-images", type=positive, default=300, metavar="N", help="photos of a visitor (default: 300)"
    )
    parser.add_argument(
        "--max-upload-mb", type=positive, default=500, metavar="N", help="size of a file (default: 500)"
    )
    parser.add_argument(
        "--max-image-gib",
        type=positive,
        default=1,
        metavar="N",
        help="memory for what ComfyUI's own image nodes make in a run of a workflow (default: 1)",
    )
    parser.add_argument(
        "--max-disk-gb", type=positive, default=20, metavar="N", help="all files of a visitor (default: 20)"
    )
    parser.add_argument(
        "--idle-minutes", type=positive, default=60, metavar="N", help="when an idle visitor's files go (default: 60)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Serve until somebody presses Ctrl-C."""
    from ..demo.app import Options, start
    from ..demo.roots import temporary_root

    given = [
        *arguments.auth,
        *([name_and_password(os.environ["MANYVIEW_AUTH"])] if "MANYVIEW_AUTH" in os.environ else []),
    ]
    options = Options(
        host=arguments.host,
        port=arguments.port,
        share=arguments.share,
        auth=tuple(given),
        models=arguments.models,
        device=arguments.device,
        most_images=arguments.max_images,
        upload_mb=arguments.max_upload_mb,
        allow_hosts=tuple(arguments.allow_host),
        image_gib=arguments.max_image_gib,
        disk_gb=arguments.max_disk_gb,
        idle_minutes=arguments.idle_minutes,
        downloads=not arguments.no_downloads,
        mcp=not arguments.no_mcp,
        open_browser=arguments.open,
    )
    signal.signal(signal.SIGTERM, stop)
    with temporary_root() as root:
        running = start(options, root)
        try:
            print(f"ManyView is at {running.url}", flush=True)
            if running.share_url:
                print(f"and, for everybody who knows the address, at {running.share_url}", flush=True)
            print("Press Ctrl-C to stop it.", flush=True)
            threading.Event().wait()
        finally:
            running.close()


def stop(*_: object) -> NoReturn:
    """End as Ctrl-C does, so that files are deleted then as well."""
    raise KeyboardInterrupt


def name_of_host(text: str) -> str:
    """A name that --allow-host takes."""
    from ..demo.hosts import checked_name

    try:
        return checked_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def name_and_password(text: str) -> tuple[str, str]:
    """The two parts of NAME:PASSWORD."""
    name, colon, password = text.partition(":")
    if not (name and colon and password):
        raise argparse.ArgumentTypeError("must have the form NAME:PASSWORD")
    return name, password
