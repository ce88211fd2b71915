"""The nodes about scenes as a whole: their scale, and how two of them differ."""

from ..compare import compare, comparison_text, difference_pictures
from ..set_scale import set_scale
from .host import Host, Result
from .packets import image_of, scene_of, scene_packet


def run_set_scale(host: Host, *, scene: dict, measured: float, meters: float) -> Result:
    """(scene,): in metres."""
    text = f"1 unit of the scene before is {meters / measured:.4g} m"
    return Result((scene_packet(set_scale(scene_of(scene), measured=measured, meters=meters)),), {"text": [text]})


def run_compare(host: Host, *, scene: dict, reference: dict, top: float) -> Result:
    """(difference, report): pictures of the depth difference of each view, and the differences in words."""
    found = compare(scene_of(scene), scene_of(reference))
    text = comparison_text(found)
    return Result((image_of(difference_pictures(found, top)), text), {"text": [text]})
