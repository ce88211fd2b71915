"""A web app on this computer: photos or a video in, a 3D scene out, and workflows for ComfyUI.

Only this computer can reach it, unless --host or --share is given; then use --auth as well. Nothing is sent to other
computers. What visitors upload and make is deleted when they leave, and at the latest when the program ends.
"""

import argparse
import errno
import os
import signal
import socket
import threading
from pathlib import Path
from typing import NoReturn

from ._options import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Who may come, and what they may do."""
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all (default: 127.0.0.1)"
    )
    parser.add_argument("--port", type=port_number, metavar="N", help="port (default: the first free one from 7860 on)")
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
    check_address(arguments.host, arguments.port)
    given = [*arguments.auth, *from_environment()]
    from ..demo.app import Options, start
    from ..demo.roots import temporary_root

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


def check_address(host: str, port: int | None) -> None:
    """ValueError if nothing can listen there: tried before anything large is imported."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            if os.name == "posix":  # a port that was just given back; elsewhere the option means something else
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except (socket.gaierror, UnicodeError) as error:
        raise ValueError(f"--host {host} is no address; use 127.0.0.1, or 0.0.0.0 for all of this computer.") from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise ValueError(f"--host {host} is not an address of this computer; use 127.0.0.1 or 0.0.0.0.") from error
        if port is None:
            raise
        why = "is used by another program" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        advice = "choose another with --port, or leave it out for the first free one"
        raise ValueError(f"port {port} {why}; {advice}.") from error


def from_environment() -> list[tuple[str, str]]:
    """The name and password that MANYVIEW_AUTH holds, if it is set."""
    if "MANYVIEW_AUTH" not in os.environ:
        return []
    try:
        return [name_and_password(os.environ["MANYVIEW_AUTH"])]
    except argparse.ArgumentTypeError as error:
        raise ValueError(f"MANYVIEW_AUTH {error}.") from error


def port_number(text: str) -> int:
    """A port of TCP."""
    if not text.isascii() or not text.isdigit() or len(text) > 5 or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"must be a port from 1 to 65535, got {text!r}")
    return int(text)


def name_and_password(text: str) -> tuple[str, str]:
    """The two parts of NAME:PASSWORD."""
    name, colon, password = text.partition(":")
    if not (name and colon and password):
        raise argparse.ArgumentTypeError("must have the form NAME:PASSWORD")
    return name, password
