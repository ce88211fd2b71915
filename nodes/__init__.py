"""Plain typed functions, one for each step from photos to files; comfyui.py turns them into nodes."""
