"""Set Scale and Compare Scenes as nodes."""

import numpy as np
import pytest

from manyview.nodes.graph.host import FolderHost
from manyview.nodes.graph.scenes import run_compare, run_set_scale


def test_set_scale(host: FolderHost, scene: dict) -> None:
    result = run_set_scale(host, scene=scene, measured=0.5, meters=2.0)
    np.testing.assert_allclose(result.outputs[0]["depth"], 4 * scene["depth"])
    assert result.ui["text"] == ["1 unit of the scene before is 4 m"]
    assert result.outputs[0]["settings"]["meters_per_unit"] == 1


def test_compare(host: FolderHost, scene: dict) -> None:
    metric = run_set_scale(host, scene=scene, measured=1.0, meters=3.0).outputs[0]
    difference, report = run_compare(host, scene=metric, reference=scene, top=0.1).outputs
    assert difference.shape == (*scene["depth"].shape, 3) and float(difference.max()) <= 1
    assert "depth: 0.00 %" in report
    with pytest.raises(ValueError, match="different images"):
        run_compare(host, scene=metric, reference={**scene, "names": ["x", "y", "z"]}, top=0.1)
