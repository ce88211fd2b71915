"""ComfyUI workflow JSON without ComfyUI: read, check, run and write.

A file in either form, the editor's (a page with boxes) or the API's (a list of nodes), becomes a `Graph`
(graph.py). `check` compares it with what the nodes look like (definitions.py), `Runner` runs it with the functions of
nodes/graph and the few core nodes in core/, and the two writers turn it into files that ComfyUI opens. Files are
untrusted: limits.py says what is too much, and every complaint is a `WorkflowError`, one sentence each.
"""
