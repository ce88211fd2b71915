"""What attention did, as a node."""

from manyview.models.sparse import SparsityConfig
from manyview.nodes.graph.host import FolderHost
from manyview.nodes.graph.packets import Packet, scene_packet
from manyview.nodes.graph.sparsity_report import run_sparsity_report
from manyview.nodes.load_images import load_images
from manyview.nodes.reconstruct import reconstruct

PLACE = {"layer": -1, "frame": 1, "x": 0.5, "y": 0.25}
CONFIG = SparsityConfig(rho=0.5, query_block=8, key_block=4)


def test_dense_scene_without_model(host: FolderHost, scene: Packet) -> None:
    result = run_sparsity_report(host, scene=scene, **PLACE)
    density, attention, report = result.outputs
    assert density.shape[0] == 1 and attention.shape == (3, 84, 112, 3)
    assert report == "global attention: 100 % of all pairs computed; dense"
    assert len(result.ui["manyview_frames"]) == 3 and result.ui["manyview_density"][0]["type"] == "temp"
    assert all((host.temp_folder / each["filename"]).stat().st_size for each in result.ui["manyview_frames"])


def test_sparse_scene_with_its_attention(host: FolderHost, model: dict, photos) -> None:
    loaded = model["loaded"]
    sparse = scene_packet(reconstruct(loaded, load_images(photos, model=loaded), sparsity=CONFIG))
    plain = run_sparsity_report(host, scene=sparse, **PLACE).outputs
    assert plain[2].count("layer") == 4 and "global attention: 1" not in plain[2]
    dense = run_sparsity_report(host, scene=sparse, model=model, **PLACE).outputs[1]
    other = run_sparsity_report(host, scene=sparse, model=model, sparsity=CONFIG.to_dict(), **PLACE).outputs[1]
    assert (dense != plain[1]).any() and (dense != other).any()
    chosen = run_sparsity_report(host, scene=sparse, model=model, **{**PLACE, "layer": 0}).outputs[1]
    assert (chosen != dense).any()
