"""One adapter for each family of networks: what everything outside models/ may ask of a loaded model."""

from .network import Network
from .prediction import Prediction
from .workload import Workload

__all__ = ["Network", "Prediction", "Workload"]
