"""The few nodes of ComfyUI itself that graphs of ours need, written anew to give the same results."""
