"""A machine without a GPU, whose user may cancel."""

import torch

loaded = []
cancelled = False


class InterruptProcessingException(BaseException):
    pass


def get_torch_device():
    return torch.device("cpu")


def unet_offload_device():
    return torch.device("cpu")


def load_models_gpu(patchers, memory_required=0, force_full_load=False):
    assert memory_required > 0
    loaded.extend(patchers)


def get_free_memory(device):
    return 10**9


def soft_empty_cache():
    pass


def throw_exception_if_processing_interrupted():
    if cancelled:
        raise InterruptProcessingException
