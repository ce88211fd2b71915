"""As much of ComfyUI's server as our routes use; tests/host asks them of a real one."""

from types import SimpleNamespace

web = SimpleNamespace(Response=dict, FileResponse=dict)


class PromptServer:
    """Takes handlers and calls none."""

    class instance:
        class routes:
            @staticmethod
            def get(address):
                return lambda handler: handler
