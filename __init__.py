"""ManyView as a ComfyUI custom node pack, and as the package `manyview`.

Importing this file does nothing: ComfyUI calls `comfy_entrypoint` when it wants the nodes.
"""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """The extension object ComfyUI asks for; our code and torch are imported only here."""
    from .nodes.comfyui import ManyViewExtension

    return ManyViewExtension()
