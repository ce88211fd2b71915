"""The page and its server: gradio, the viewer beside it, limits and safety."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MISSING = 'The demo needs gradio: pip install "manyview[demo]", or in a checkout: pip install -r requirements-demo.txt'
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:"
)


@dataclass(frozen=True)
class Options:
    """How the demo is served. auth: pairs of name and password; none lets everybody in who can reach it."""

    host: str = "127.0.0.1"
    port: int | None = None
    share: bool = False
    auth: tuple[tuple[str, str], ...] = ()
    models: Path | None = None
    device: str = "auto"
    most_images: int = 300
    upload_mb: int = 500
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
    from .routes import PREFIX, make_routes
    from .server import Server
    from .sessions import Sessions

    sessions = Sessions(
        root / "sessions",
        options.models or default_folder(),
        choose_device("cpu" if has_zero_gpu() else options.device),
        idle_seconds=60 * options.idle_minutes,
        leave_seconds=options.leave_seconds,
        most_images=options.most_images,
        call=call,
    )
    server = Server(sessions, root, options.downloads)
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
        app_kwargs={"routes": [Mount(PREFIX, app=make_routes(sessions))], "middleware": middleware()},
    )
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


def middleware() -> list[Any]:
    """Headers that keep the page from talking to other machines; on Hugging Face its own frame needs more freedom."""
    from starlette.middleware import Middleware

    return [] if os.environ.get("SPACE_ID") else [Middleware(Headers)]


class Headers:
    """Adds headers to every answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = {"content-security-policy": POLICY, "x-content-type-options": "nosniff"}
                there = {name.lower() for name, _ in message["headers"]}
                message["headers"] += [
                    (name.encode(), value.encode()) for name, value in added.items() if name.encode() not in there
                ]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)
