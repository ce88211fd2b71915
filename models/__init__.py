"""The networks: VGGT and Pi3, and the checkpoints they load."""
