"""Another pack, for the tests: a model that runs out of memory when it runs."""

import copy
import dataclasses

import torch


class BreakMemory:
    RETURN_TYPES = ("MANYVIEW_MODEL",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MANYVIEW_MODEL",)}}

    def run(self, model):
        loaded = model["loaded"]

        class Hungry(type(loaded.model)):
            def forward(self, *arguments, **options):
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

        network = copy.copy(loaded.model)
        network.__class__ = Hungry
        return ({**model, "loaded": dataclasses.replace(loaded, model=network)},)


NODE_CLASS_MAPPINGS = {"TestBreakMemory": BreakMemory}
