import numpy as np
from manyview_tests_pictures import load, save, sentence_of, transparent
from PIL import Image


def test_masks_by_name(tmp_path):
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        save(tmp_path / "photos" / name)
    half = np.zeros((24, 32), np.uint8)
    half[:, 16:] = 255
    save(tmp_path / "masks" / "1.png", color=Image.fromarray(half))
    save(tmp_path / "masks" / "2.jpg.png", color=Image.fromarray(half // 255))
    loaded = load(tmp_path / "photos", masks=tmp_path / "masks")
    for mask in loaded.masks[:2]:
        assert not mask[:, :27].any()
        assert mask[:, 29:].all()
    assert loaded.masks[2].all()
    assert loaded.skipped == (("3.jpg", "3.jpg has no mask in the folder of masks. The whole image is used."),)
    assert "3.jpg has no mask" in sentence_of(load, tmp_path / "photos", masks=tmp_path / "masks", strict=True)


def test_bad_masks(tmp_path):
    photo = save(tmp_path / "1.jpg")
    assert "does not exist" in sentence_of(load, photo, masks=tmp_path / "masks")
    save(tmp_path / "masks" / "other.png")
    assert "No mask in" in sentence_of(load, photo, masks=tmp_path / "masks")
    save(tmp_path / "masks" / "1.png", size=(40, 40))
    assert "The mask 1.png is 40 x 40, but 1.jpg is 60 x 45" in load(photo, masks=tmp_path / "masks").skipped[0][1]
    (tmp_path / "masks" / "1.png").write_text("text")
    assert "1.png is a text file" in load(photo, masks=tmp_path / "masks").skipped[0][1]


def test_a_transparent_cut_out_serves_as_mask(tmp_path):
    photo = save(tmp_path / "1.jpg")
    save(tmp_path / "masks" / "1.png", color=transparent("RGBA"))
    mask = load(photo, masks=tmp_path / "masks").masks[0]
    assert not mask[:, :27].any()
    assert mask[:, 29:].all()
