"""A machine without a GPU."""

import torch

loaded = []


def get_torch_device():
    return torch.device("cpu")


def unet_offload_device():
    return torch.device("cpu")


def load_models_gpu(patchers, memory_required=0):
    assert memory_required > 0
    loaded.extend(patchers)


def throw_exception_if_processing_interrupted():
    pass
