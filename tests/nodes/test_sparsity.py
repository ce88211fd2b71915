"""The choice of sparsity, and that a reconstruction follows it without another load of the model."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from manyview.models.checkpoints import load_model
from manyview.models.sparse import PRESETS, SparsityConfig
from manyview.nodes.load_images import load_images
from manyview.nodes.parameters import SPARSITY_CHOICES
from manyview.nodes.reconstruct import reconstruct
from manyview.nodes.report import report_text
from manyview.nodes.sparsity import sparsity


@pytest.fixture(scope="module")
def model(tiny_model: Path):
    return load_model(tiny_model)


def test_choices_are_the_presets_and_two_more() -> None:
    assert (*PRESETS, "custom", "file") == SPARSITY_CHOICES


@pytest.mark.parametrize("method", PRESETS)
def test_presets_by_name(method: str) -> None:
    assert sparsity(method=method) == PRESETS[method]
    assert sparsity(method=method, min_tokens=5) == replace(PRESETS[method], min_tokens=5)


def test_custom() -> None:
    config = sparsity(method="custom", rho=0.4, tau=0.8, dense_layers="0,2-3")
    assert (config.rho, config.tau, config.dense_layers) == (0.4, 0.8, "0,2-3")


def test_file(tmp_path: Path) -> None:
    config = SparsityConfig(method="manyview", rho=0.5, layer_rho={1: 0.9, 2: (0.5, 0.25)})
    path = tmp_path / "schedule.json"
    for plain in (config.to_dict(), {"sparsity": config.to_dict(), "model": "x"}):
        path.write_text(json.dumps(plain))
        assert sparsity(method="file", schedule=path) == config


@pytest.mark.parametrize(
    "text", ["", "[]", "3", '{"rho": 2}', '{"rho": "a"}', '{"x": 1}', '{"sparsity": 3}', "[" * 99999]
)
def test_files_that_are_no_schedules(tmp_path: Path, text: str) -> None:
    path = tmp_path / "schedule.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is no sparsity schedule"):
        sparsity(method="file", schedule=path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "x"}, "must be one of"),
        ({"method": "fast", "rho": 0.5}, "set it to custom"),
        ({"method": "fast", "schedule": "x.json"}, "set it to file"),
        ({"method": "custom"}, "rho or tau"),
        ({"method": "custom", "rho": 2.0}, "from 0 to 1"),
        ({"method": "file"}, "calibrate"),
    ],
)
def test_wrong_choices(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sparsity(**options)


def test_one_loaded_model_serves_all_settings(model, photos: Path) -> None:
    images = load_images(photos, model=model)
    plain, dense = (reconstruct(model, images, sparsity=one) for one in (None, sparsity(method="dense")))
    np.testing.assert_array_equal(plain.depth, dense.depth)
    assert plain.density is None and "100 % of all pairs" in report_text(dense)

    chosen = replace(sparsity(method="fast", min_tokens=0), query_block=16, key_block=8, score_block=16)
    sparse = reconstruct(model, images, sparsity=chosen, backend="reference")
    assert sparse.density.shape == (4, 2) and 0.1 < sparse.density.mean() < 0.6
    assert sparse.settings["attention"] == "reference (as asked for)"
    assert SparsityConfig.from_dict(sparse.settings["sparsity"]) == chosen
    assert f"{100 * sparse.density.mean():.0f} % of all pairs computed; reference" in report_text(sparse)

    few = reconstruct(model, images, sparsity=replace(chosen, min_tokens=160))
    np.testing.assert_array_equal(few.depth, plain.depth)
    assert few.settings["attention"] == "dense (sparse attention begins at 160 tokens)"


def test_layers_that_the_model_lacks(model, photos: Path) -> None:
    config = sparsity(method="custom", rho=0.5, dense_layers="4")
    with pytest.raises(ValueError, match="Layer 4 does not exist"):
        reconstruct(model, load_images(photos, model=model), sparsity=config)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"rho": 0.5, "dense_layers": "0-9999999999"}', "Layers go up to 99,999"),
        ('{"rho": 0.5, "dense_layers": [1]}', "got list"),
        ('{"rho": 0.5, "query_block": 1000000000}', "query_block must be at most 1,024"),
        ('{"rho": 0.5, "min_tokens": ' + "9" * 4000 + "}", "a number beyond 1,000,000,000,000"),
        ('{"rho": 0.5, "layer_rho": [1]}', "layer_rho is an object"),
        ('{"rho": 0.5, "layer_rho": {"9999999999": 0.5}}', "must be at most 99,999"),
        ('{"rho": 0.5, "rho": 0.1}', "has 'rho' twice"),
        ('{"rho": NaN}', "NaN is not a number"),
        ("[" * 100_000, "nested too deep"),
        ("[]", "got list"),
        ('{"sparsity": 3}', "got int"),
        ("\xff", "no sparsity schedule"),
    ],
)
def test_schedules_of_any_content_are_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "schedule.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="is no sparsity schedule") as caught:
        sparsity(method="file", schedule=path)
    assert words in str(caught.value) and len(str(caught.value)) < 400


def test_a_missing_schedule_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no schedule .*missing\.json; give a JSON file written by"):
        sparsity(method="file", schedule=tmp_path / "missing.json")
