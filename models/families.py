"""The two kinds of networks as loading sees them: how their files are told apart, and what a file may lack."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from . import pi3, vggt
from .weights import Weights, listed

Config = vggt.VGGTConfig | pi3.Pi3Config


@dataclass(frozen=True)
class Family:
    """What loading has to know about a kind of network.

    heads: prefix of a head that a file may lack -> the config fields that build the model without it.
    precise: prefixes whose weights stay float32 when the rest is loaded in 16 bits, as the public inference does.
    ignored: tensors that published files hold and the network does not use.
    stacks: a field of the configuration that counts blocks -> what the names of their tensors begin with.
    """

    name: str
    model: type[nn.Module]
    public_config: Config
    config_from_dict: Callable[[dict[str, Any]], Config]
    marker: str  # a tensor that every file of this family has
    heads: Mapping[str, Mapping[str, Any]]
    precise: tuple[str, ...]
    ignored: re.Pattern[str]
    stacks: Mapping[str, str]


FAMILIES = (
    Family(
        name="vggt",
        model=vggt.VGGT,
        public_config=vggt.VGGT_1B,
        config_from_dict=vggt.config_from_dict,
        marker="aggregator.camera_token",
        heads={
            "camera_head.": {"camera": None},
            "depth_head.": {"depth_head": False},
            "point_head.": {"point_head": False},
            "track_head.": {"track": None},
        },
        precise=("camera_head.", "depth_head.", "point_head.", "track_head."),
        ignored=re.compile(r"aggregator\.patch_embed\.mask_token$"),
        stacks={
            "encoder.depth": "aggregator.patch_embed.blocks.",
            "depth": "aggregator.frame_blocks.",
            "camera.trunk_depth": "camera_head.trunk.",
            "track.depth": "track_head.tracker.updateformer.time_blocks.",
        },
    ),
    Family(
        name="pi3",
        model=pi3.Pi3,
        public_config=pi3.PI3,
        config_from_dict=pi3.config_from_dict,
        marker="point_decoder.projects.weight",
        heads={},
        precise=("point_head.", "conf_head.", "camera_head."),
        ignored=re.compile(r"(image_mean|image_std|encoder\.mask_token)$"),
        stacks={"encoder.depth": "encoder.blocks.", "depth": "decoder.", "head_depth": "point_decoder.blocks."},
    ),
)

UNSUPPORTED = {
    "metric_token": "Pi3X",
    "aggregator.inter_frame_blocks.0.norm1.weight": "VGGT-Omega",
}


def family_of(weights: Weights) -> Family:
    """VGGT or Pi3, told by the names of the tensors; ValueError for anything else."""
    for marker, name in UNSUPPORTED.items():
        if marker in weights.shapes:
            raise ValueError(
                f"{weights.label} holds weights of {name}, which is not supported; use VGGT or Pi3 weights."
            )
    for family in FAMILIES:
        if family.marker in weights.shapes:
            return family
    raise ValueError(
        f"{weights.label} holds neither VGGT nor Pi3 weights (its {len(weights.shapes)} tensors begin with "
        f"{listed(tuple(weights.shapes)) or 'nothing'}); give another file."
    )
