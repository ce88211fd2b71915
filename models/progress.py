"""How long work inside the models tells how far it is."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total); it may raise to cancel the work."""
