"""Synthetic scenes and the trainer of the small bundled models."""
