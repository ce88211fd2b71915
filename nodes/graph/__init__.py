"""What the nodes of a graph do, apart from any program that shows them.

Each node is a plain function `run(host, **inputs) -> Result`; `table.NODES` lists them by id. ComfyUI
(nodes/comfyui/) and a program that runs a workflow file by itself call the same functions; what differs between such
programs is the `Host` that they pass in. What a node looks like is in `definitions`.
"""
