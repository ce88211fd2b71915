"""Everything about the scene: images in, geometry, reconstructions, point clouds and files out."""
