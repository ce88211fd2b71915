"""Serves the demo in a process of its own: python serve.py FOLDER [NAME:PASSWORD ...].

The network's runs are counted in FOLDER/runs; while FOLDER/closed exists, it waits before it runs, and can be
cancelled.
"""

import runpy
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def main(folder: Path, *logins: str) -> None:
    """Serve until standard input ends."""
    runpy.run_path(str(ROOT / "__main__.py"), run_name="manyview_registration")
    from manyview.demo import gpu
    from manyview.demo.app import Options, start
    from manyview.demo.settings import RECONSTRUCT
    from manyview.workflows.runner import call_node

    def call(class_type: str, host: Any, inputs: dict[str, Any]) -> Any:
        if class_type == RECONSTRUCT:
            while (folder / "closed").exists():
                host.check_cancelled()
                time.sleep(0.02)
            with (folder / "runs").open("a") as file:
                file.write("run\n")
        return call_node(class_type, host, inputs)

    gpu.prepare = lambda: call
    auth = tuple(tuple(each.split(":")) for each in logins)
    running = start(Options(device="cpu", most_images=20, upload_mb=20, leave_seconds=20, auth=auth), folder)
    print(f"served at {running.url}", flush=True)
    sys.stdin.read()
    running.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
