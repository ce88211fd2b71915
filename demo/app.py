"""The page and its server: gradio, the viewer beside it, limits and safety."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

THREADS = 200  # events at a time; those that wait for a job count as well, and of them there are at most 48
MISSING = 'The demo needs gradio: pip install "manyview[demo]", or in a checkout: pip install -r requirements-demo.txt'


@dataclass(frozen=True)
class Options:
    """How the demo is served. auth: pairs of name and password; none lets everybody in who can reach it.

    allow_hosts: more names that lead here, whose pages may also show and call the demo. image_gib, disk_gb: what a
    visitor's workflows may make, images of ComfyUI's own nodes in memory and files.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    share: bool = False
    auth: tuple[tuple[str, str], ...] = ()
    models: Path | None = None
    device: str = "auto"
    most_images: int = 300
    upload_mb: int = 500
    allow_hosts: tuple[str, ...] = ()
    image_gib: int = 1
    disk_gb: int = 20
    idle_minutes: float = 60
    leave_seconds: float = 120
    downloads: bool = True
    mcp: bool = True
    open_browser: bool = False


@dataclass
class Running:
    """A demo that is being served."""

    url: str
    share_url: str | None
    server: Any
    blocks: Any

    def close(self) -> None:
        """Stop serving and delete everybody's files."""
        self.blocks.close(verbose=False)
        self.server.sessions.close_all()


def start(options: Options, root: Path) -> Running:
    """Serve the demo; `root` is a folder for everything that lives no longer than the demo."""
    from .gpu import has_zero_gpu, prepare

    call = prepare()
    keep_to_itself(root)
    try:
        import gradio as gr
    except ImportError as error:
        raise ImportError(MISSING) from error
    from ..models.catalog import default_folder
    from ..nodes.load_model import choose_device
    from .gate import Gate
    from .given import keep_addresses
    from .hosts import Hosts
    from .routes import PREFIX, make_routes
    from .server import Limits, Server
    from .sessions import Sessions

    keep_addresses()
    hosts = Hosts(options.host, options.allow_hosts)
    sessions = Sessions(
        root / "sessions",
        options.models or default_folder(),
        choose_device("cpu" if has_zero_gpu() else options.device),
        idle_seconds=60 * options.idle_minutes,
        leave_seconds=options.leave_seconds,
        most_images=options.most_images,
        most_image_bytes=options.image_gib * 2**30,
        most_disk_bytes=options.disk_gb * 10**9,
        call=call,
    )
    upload_bytes = options.upload_mb * 10**6
    server = Server(sessions, root, options.downloads, limits=Limits(options.most_images, upload_bytes))
    blocks = make_blocks(server)
    from starlette.routing import Mount

    _, url, share_url = blocks.launch(
        server_name=options.host,
        server_port=options.port,
        share=options.share,
        auth=list(options.auth) or None,
        inbrowser=options.open_browser,
        prevent_thread_lock=True,
        quiet=True,
        show_error=True,
        max_file_size=f"{options.upload_mb}mb",
        allowed_paths=[],
        blocked_paths=[str(root / "sessions")],
        ssr_mode=False,
        mcp_server=options.mcp and not options.auth and has_mcp(),  # it would not ask for a password
        run_history=False,
        footer_links=["api"],
        theme=theme(gr),
        css_paths=[Path(__file__).resolve().parent / "page" / "style.css"],
        max_threads=THREADS,
        app_kwargs={
            "routes": [Mount(PREFIX, app=make_routes(sessions))],
            "lifespan": behind(lambda app: Gate(app, hosts, sessions, root, upload_bytes)),
        },
    )
    if share_url:
        hosts.add(share_url)
    return Running(url, share_url, server, blocks)


def make_blocks(server: Any) -> Any:
    """The page with everything that it does."""
    import gradio as gr

    from ..nodes.graph.loading import model_names, schedule_names
    from .endpoint import add_endpoint
    from .exchange import Exchange
    from .panels import make_page
    from .runs import Runs
    from .visits import Visits

    nobody = server.sessions.make()
    models, schedules = model_names(nobody.host), schedule_names(nobody.host)
    nobody.close()
    with gr.Blocks(title="ManyView", analytics_enabled=False, delete_cache=(600, 3600), fill_width=True) as blocks:
        page = make_page(models, schedules)
        visits = Visits(server, page)
        runs = Runs(visits)
        visits.connect(blocks)
        runs.connect(blocks)
        Exchange(runs).connect()
        add_endpoint(server)
    blocks.queue(max_size=200, default_concurrency_limit=None)
    return blocks


def keep_to_itself(root: Path) -> None:
    """Settings of gradio and huggingface_hub by which nothing is sent anywhere, unless somebody has set others."""
    (root / "gradio").mkdir(parents=True, exist_ok=True)
    os.environ["GRADIO_TEMP_DIR"] = str(root / "gradio")
    for name, value in (("GRADIO_ANALYTICS_ENABLED", "False"), ("HF_HUB_DISABLE_TELEMETRY", "1")):
        os.environ.setdefault(name, value)


def has_mcp() -> bool:
    """Whether the package is here that gradio needs to be an MCP server."""
    import importlib.util

    return importlib.util.find_spec("mcp") is not None


def theme(gr: Any) -> Any:
    """Colours, and fonts that every computer has."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        font=["system-ui", "-apple-system", "Segoe UI", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
        radius_size=gr.themes.sizes.radius_md,
    )


def behind(make_gate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A lifespan that puts a gate before the whole application, what gradio adds to it included."""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        app.middleware_stack = make_gate(app.middleware_stack)
        yield

    return lifespan
