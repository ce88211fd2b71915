"""What a visitor gives: order, masks, video, names, limits."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manyview.demo.names import ordered_names, safe_name
from manyview.demo.photos import FOLDER, MASK_FOLDER, Photos
from manyview.nodes.graph.loading import NO_MASKS, SAMPLES


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    found = Photos(tmp_path / "visitor", most=4)
    found.clear()
    return found


@pytest.fixture
def upload(tmp_path: Path):
    """upload("a.jpg", ...): pictures as gradio would have put them somewhere, with their names."""

    def make(*names: str, size: tuple[int, int] = (8, 6)) -> list[tuple[Path, str]]:
        found = []
        for place, name in enumerate(names):
            path = tmp_path / f"upload_{place}_{len(list(tmp_path.iterdir()))}{Path(name).suffix}"
            Image.fromarray(np.full((*size[::-1], 3), 40 * place, dtype=np.uint8)).save(path, "PNG")
            found.append((path, name))
        return found

    return make


def written(photos: Photos, folder: str = FOLDER) -> list[str]:
    photos.write()
    return sorted(path.name for path in (photos.input / folder).iterdir())


def test_photos_are_moved_and_sorted_by_their_names(photos: Photos, upload) -> None:
    assert photos.source == "" and photos.add(upload("b10.png", "b9.png")) == []
    assert [photo.name for photo in photos.photos] == ["b9.png", "b10.png"] and photos.source == FOLDER
    assert photos.add(upload("a.png")) == [] and photos.count == 3
    assert [photo.name for photo in photos.photos] == ["b9.png", "b10.png", "a.png"], "later ones come behind"
    assert written(photos) == ["1_b9.png", "2_b10.png", "3_a.png"]
    assert photos.thumbnail(photos.photos[0]).stat().st_size > 0


def test_order_and_removal(photos: Photos, upload) -> None:
    photos.add(upload("a.png", "b.png", "c.png"))
    numbers = [photo.number for photo in photos.photos]
    photos.arrange([numbers[2], numbers[0]])
    assert [photo.name for photo in photos.photos] == ["c.png", "a.png"]
    assert written(photos) == ["1_c.png", "2_a.png"]
    for wrong in ([numbers[0], numbers[0]], [numbers[1]], ["../x"]):
        with pytest.raises(ValueError, match="not up to date"):
            photos.arrange(wrong)


def test_a_sample_can_be_arranged(photos: Photos) -> None:
    photos.take_sample(next(iter(SAMPLES)))
    assert photos.source == next(iter(SAMPLES)) and photos.masks == NO_MASKS
    photos.arrange(["frame_02.jpg", "frame_00.jpg"])
    assert photos.source == FOLDER and written(photos) == ["1_frame_02.jpg", "2_frame_00.jpg"]
    with pytest.raises(ValueError, match="There is no sample"):
        photos.take_sample("x")


def test_masks_by_name_and_by_order(photos: Photos, upload) -> None:
    with pytest.raises(ValueError, match="photos first"):
        photos.add_masks(upload("a.png"))
    photos.add(upload("a.png", "b.png"))
    assert photos.add_masks(upload("a.png")) == ["b.png has no mask in the folder of masks. The whole photo is used."]
    assert photos.masks == MASK_FOLDER and written(photos, MASK_FOLDER) == ["a.png.png"]
    (note,) = photos.add_masks(upload("x.png", "y.png"))
    assert "paired in their order" in note
    assert written(photos, MASK_FOLDER) == ["a.png.png", "b.png.png"]
    (note,) = photos.add_masks(upload("x.png"))
    assert "The one mask x.png is used for all 2 images" in note
    assert written(photos, MASK_FOLDER) == ["a.png.png", "b.png.png"]
    with pytest.raises(ValueError, match=r"No mask in \S+ has the name of an image"):
        photos.add_masks(upload("x.png", "y.png", "z.png"))
    photos.remove_masks()
    assert photos.masks == NO_MASKS and written(photos, MASK_FOLDER) == []


def test_the_pictures_of_an_animation_count(photos: Photos, upload, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (60, 45), (level, 0, 0)) for level in range(0, 150, 50)]
    frames[0].save(tmp_path / "walk.gif", save_all=True, append_images=frames[1:])
    assert photos.add([(tmp_path / "walk.gif", "walk.gif")]) == ["walk.gif holds 3 pictures: each is a view."]
    with pytest.raises(ValueError, match="These would be 5 photos"):
        photos.add(upload("a.png", "b.png"))


def test_a_mask_of_another_shape_is_told_at_once(photos: Photos, upload, tmp_path: Path) -> None:
    photos.add(upload("a.png"))
    Image.new("L", (90, 10)).save(tmp_path / "a.png")
    (note,) = photos.add_masks([(tmp_path / "a.png", "a.png")])
    assert note.startswith("The mask a.png is 90 x 10, but a.png is") and note.endswith("The whole photo is used.")
    assert photos.masks == NO_MASKS


def test_a_video_replaces_photos_and_is_replaced(photos: Photos, upload, root: Path, tmp_path: Path) -> None:
    photos.add(upload("a.png"))
    shutil.copy(root / "sample" / "walk.mp4", tmp_path / "walk.mp4")
    assert photos.add([(tmp_path / "walk.mp4", "../my walk.mp4")]) == []
    assert photos.source == "my_walk.mp4" and not photos.count and photos.video_thumbnail().stat().st_size
    photos.add(upload("a.png"))
    assert photos.source == FOLDER and photos.video is None and not list(photos.input.glob("*.mp4"))


def test_nothing_of_the_visitors_goes_unasked(photos: Photos, upload, root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "sample" / "walk.mp4", tmp_path / "walk.mp4")
    photos.take_sample(next(iter(SAMPLES)))
    assert photos.given == "" and photos.add(upload("a.png"), replaces=False) == [], "a sample is not theirs"
    assert photos.given == "1 photo" and photos.add(upload("b.png"), replaces=False) == [], "photos join photos"
    with pytest.raises(ValueError, match="2 photos would go"):
        photos.add([(tmp_path / "walk.mp4", "walk.mp4")], replaces=False)
    photos.add([(tmp_path / "walk.mp4", "walk.mp4")])
    assert photos.given == "the video walk.mp4"
    with pytest.raises(ValueError, match=r"The video walk\.mp4 would go"):
        photos.add(upload("c.png"), replaces=False)
    assert photos.video is not None


def test_every_change_is_another_state(photos: Photos, upload) -> None:
    states = [photos.state]
    photos.add(upload("a.png", "b.png"))
    states.append(photos.state)
    photos.arrange([photo.number for photo in photos.photos][::-1])
    states.append(photos.state)
    photos.add_masks(upload("a.png", "b.png"))
    states.append(photos.state)
    photos.remove_masks()
    states.append(photos.state)
    photos.clear()
    states.append(photos.state)
    assert len(set(states)) == len(states)


def test_what_is_no_photo_is_told(photos: Photos, upload, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    with pytest.raises(ValueError, match=r"bad\.png"):
        photos.add([(bad, "bad.png")])
    bad.write_text("text")
    assert len(photos.add([*upload("a.png"), (bad, "notes.txt")])) == 1 and photos.count == 1
    with pytest.raises(ValueError, match="No file was given"):
        photos.add([])
    with pytest.raises(ValueError, match="at most 4 can be used"):
        photos.add(upload("b.png", "c.png", "d.png", "e.png"))
    assert photos.count == 1 and len(list(photos.store.iterdir())) == 1, "nothing is left of them"
    bad.write_text("text")
    with pytest.raises(ValueError, match="give one video alone"):
        photos.add([*upload("b.png"), (bad, "b.mp4")])
    with pytest.raises(ValueError, match="video"):
        photos.add([(bad, "b.mp4")])
    assert photos.count == 1 and photos.source == FOLDER


def test_too_many_bytes(photos: Photos, upload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manyview.demo.photos.MOST_BYTES", 10)
    with pytest.raises(ValueError, match="can be used here"):
        photos.add(upload("a.png"))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\a\\b c.JPG", "b_c.JPG"),
        ("\u00e4\u4f60.png", "\u00e4\u4f60.png"),
        ("...", "file"),
        ("a" * 200 + ".png", "a" * 76 + ".png"),
        ("<script>.jpg", "script.jpg"),
        ("a.p/n g", "n_g"),
        ("a.", "a"),
        ("a\u0308.png", "\u00e4.png"),
        ("\u5199\u771f 1.jpg", "\u5199\u771f_1.jpg"),
        ("con.jpg", "con_.jpg"),
        ("\u4f60" * 90 + ".png", "\u4f60" * 25 + ".png"),
    ],
)
def test_names_become_plain(name: str, safe: str) -> None:
    found = safe_name(name)
    assert "/" not in found and "\\" not in found and len(found.encode()) <= 90
    assert found == safe


def test_names_keep_the_order() -> None:
    assert ordered_names(["a.png", "b.png"]) == ["a.png", "b.png"]
    assert ordered_names(["b.png", "a.png"]) == ["1_b.png", "2_a.png"]
    assert len(set(ordered_names(["a.png", "a.png"]))) == 2
