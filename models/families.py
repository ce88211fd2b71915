"""The two kinds of networks as loading sees them: how their files are told apart, and what a file may lack."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from . import da3, pi3, vggt
from .networks.da3 import DepthAnything3Network
from .networks.network import Network
from .networks.pi3 import Pi3Network
from .networks.vggt import VGGTNetwork
from .weights import Weights, listed

Config = vggt.VGGTConfig | pi3.Pi3Config | da3.DepthAnything3Config


@dataclass(frozen=True)
class Family:
    """What loading has to know about a kind of network.

    heads: prefix of a head that a file may lack -> the config fields that build the model without it.
    precise: prefixes whose weights stay float32 when the rest is loaded in 16 bits, as the public inference does.
    ignored: tensors that published files hold and the network does not use.
    stacks: a field of the configuration that counts blocks -> what the names of their tensors begin with.
    renamed: beginnings of names in published files -> those in the network.
    config_for: the configuration of a published size, told by the tensors' shapes.
    """

    name: str  # in files and code
    title: str  # for people
    model: type[nn.Module]
    network: type[Network]  # the adapter
    config_type: type
    config_for: Callable[[Mapping[str, tuple[int, ...]]], Config]
    config_from_dict: Callable[[dict[str, Any]], Config]
    marker: str  # a tensor that every file of this family has
    heads: Mapping[str, Mapping[str, Any]]
    precise: tuple[str, ...]
    ignored: re.Pattern[str]
    stacks: Mapping[str, str]
    renamed: Mapping[str, str] = field(default_factory=dict)


FAMILIES = (
    Family(
        name="vggt",
        title="VGGT",
        model=vggt.VGGT,
        network=VGGTNetwork,
        config_type=vggt.VGGTConfig,
        config_for=lambda shapes: vggt.VGGT_1B,
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
        title="pi3",
        model=pi3.Pi3,
        network=Pi3Network,
        config_type=pi3.Pi3Config,
        config_for=lambda shapes: pi3.PI3,
        config_from_dict=pi3.config_from_dict,
        marker="point_decoder.projects.weight",
        heads={},
        precise=("point_head.", "conf_head.", "camera_head."),
        ignored=re.compile(r"(image_mean|image_std|encoder\.mask_token)$"),
        stacks={"encoder.depth": "encoder.blocks.", "depth": "decoder.", "head_depth": "point_decoder.blocks."},
    ),
    Family(
        name="da3",
        title="Depth Anything 3",
        model=da3.DepthAnything3,
        network=DepthAnything3Network,
        config_type=da3.DepthAnything3Config,
        config_for=da3.config_for,
        config_from_dict=da3.config_from_dict,
        marker="backbone.pretrained.camera_token",
        heads={},
        precise=("head.", "cam_dec.", "cam_enc."),
        # three of four levels of the ray branch are published and never used
        ignored=re.compile(r"head\.scratch\.output_conv[12]_aux\.[012]\."),
        stacks={"depth": "backbone.pretrained.blocks."},
        # one layer norm serves all levels, and files keep the name of the first
        renamed={"head.scratch.output_conv2_aux.0.2.": "head.scratch.output_conv2_aux.3.2."},
    ),
)

UNSUPPORTED = {
    "metric_token": "Pi3X",
    "aggregator.inter_frame_blocks.0.norm1.weight": "VGGT-Omega",
}


def family_named(name: str) -> Family:
    """One of FAMILIES."""
    return next(family for family in FAMILIES if family.name == name)


def family_of_model(model: nn.Module) -> Family:
    """The family of a network, told by its class."""
    return next(family for family in FAMILIES if isinstance(model, family.model))


def family_of_config(config: Config) -> Family:
    """The family of a configuration, told by its class."""
    return next(family for family in FAMILIES if isinstance(config, family.config_type))


def family_of(weights: Weights) -> Family:
    """The family of a file, told by the names of the tensors; ValueError for anything that no family knows."""
    known = ", ".join(family.title for family in FAMILIES)
    for marker, name in UNSUPPORTED.items():
        if marker in weights.shapes:
            raise ValueError(f"{weights.label} holds weights of {name}, which is not supported; use those of {known}.")
    for family in FAMILIES:
        if family.marker in weights.shapes:
            return family
    raise ValueError(
        f"{weights.label} holds weights of none of {known} (its {len(weights.shapes)} tensors begin with "
        f"{listed(tuple(weights.shapes)) or 'nothing'}); give another file."
    )
