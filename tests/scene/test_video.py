import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyview.scene.images import load_images
from manyview.scene.video import choose_frames

av = pytest.importorskip("av", reason="reading video needs PyAV")

STEP = 7  # grey level of frame n is n * STEP


def write(path, frames=30, rate=10, size=(64, 48), colour=None):
    """A video whose frames tell their number by their grey level, or have one colour."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj444p"
        for number in range(frames):
            picture = np.full((size[1], size[0], 3), number * STEP if colour is None else colour, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def numbers(loaded):
    return [round(float(level) / STEP) for level in loaded.images.mean(axis=(1, 2, 3))]


def load(path, **options):
    return load_images(path, **{"resolution": 56, **options})


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """30 frames at 10 a second."""
    return write(tmp_path_factory.mktemp("video") / "clip.avi")


def test_all_frames_of_a_short_video(clip):
    loaded = load(clip)
    assert numbers(loaded) == list(range(30))
    assert loaded.names[:2] == ("clip_0000.000s.png", "clip_0000.100s.png")
    assert len(set(loaded.names)) == 30
    assert loaded.original_sizes.tolist() == [[64, 48]] * 30
    assert loaded.images.shape == (30, 42, 56, 3)
    assert loaded.masks is None
    assert loaded.skipped == ()
    assert set(loaded.paths) == {clip}
    assert loaded.video_frames == tuple(range(30))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"limit": 4}, [0, 10, 19, 29]),
        ({"limit": 1}, [0]),
        ({"limit": 3, "start": 9}, [9, 19, 29]),
        ({"every": 10}, [0, 10, 20]),
        ({"every": 10, "limit": 2}, [0, 10]),
        ({"every": 10, "limit": 2, "selection": "even"}, [0, 20]),
        ({"frame_rate": 1}, [0, 10, 20]),
        ({"frame_rate": 2.5}, [0, 4, 8, 12, 16, 20, 24, 28]),
        ({"frame_rate": 2.5, "limit": 2}, [0, 4]),
        ({"frame_rate": 2.5, "limit": 2, "selection": "even"}, [0, 28]),
        ({"frame_rate": 2.5, "start": 1, "every": 3}, [4, 16, 28]),
    ],
)
def test_frames_are_chosen(clip, options, expected):
    loaded = load(clip, **options)
    assert numbers(loaded) == expected
    assert loaded.names[-1] == f"clip_{expected[-1] / 10:08.3f}s.png"


@given(
    st.lists(st.floats(0.001, 3), min_size=0, max_size=200),
    st.none() | st.floats(0.1, 200),
    st.integers(1, 9),
    st.none() | st.integers(1, 60),
    st.sampled_from(["first", "even"]),
)
def test_choice_is_ascending_within_the_video(steps, frame_rate, every, limit, selection):
    times = np.cumsum([0.0, *steps])
    frames = choose_frames(times, frame_rate, 0, every, limit, selection)
    assert frames
    assert frames == sorted(set(frames))
    assert frames[0] == 0
    assert frames[-1] < len(times)
    assert limit is None or len(frames) <= limit
    if frame_rate is None and every == 1:
        assert len(frames) == min(len(times), limit or 32)
        assert frames[-1] == len(times) - 1 or len(frames) == 1


@given(st.integers(1, 300), st.floats(1, 120), st.floats(1, 3))
def test_a_rate_above_that_of_the_video_takes_every_frame(count, rate, factor):
    assert choose_frames(np.arange(count) / rate, frame_rate=rate * factor) == list(range(count))


@given(st.lists(st.floats(0.001, 3), min_size=1, max_size=200), st.floats(0.2, 30))
def test_a_frame_rate_takes_what_is_nearest_to_each_step_of_time(steps, frame_rate):
    times = np.cumsum([0.0, *steps])
    frames = choose_frames(times, frame_rate=frame_rate)
    steps = np.rint(times[frames] * frame_rate)
    assert len(set(steps)) == len(frames)
    for frame, step in zip(frames, steps, strict=True):
        nearest = np.abs(times - step / frame_rate).min()
        assert abs(times[frame] - step / frame_rate) <= nearest + 1e-6


def test_frames_are_spread_over_time_where_their_rate_changes():
    times = np.concatenate([np.arange(60) / 60, np.arange(1, 13)])  # one second of 60 frames, then one a second
    assert times[choose_frames(times, limit=5)].tolist() == [0, 3, 6, 9, 12]
    assert times[choose_frames(times, frame_rate=1)].tolist() == list(range(13))
    assert choose_frames(times, limit=100) == list(range(72))


def test_long_videos_give_a_limited_number_of_frames_unless_asked():
    times = np.arange(9000) / 30
    assert len(choose_frames(times)) == 32
    assert len(choose_frames(times, frame_rate=1)) == 300


def test_colours_are_rgb(tmp_path):
    path = write(tmp_path / "red.avi", frames=1, colour=(230, 30, 20))
    np.testing.assert_allclose(load(path).images[0, 20, 20], (230, 30, 20), atol=8)


def test_a_video_in_a_list_and_with_masks(clip, tmp_path):
    from PIL import Image

    mask = np.zeros((48, 64), np.uint8)
    mask[24:] = 255
    Image.fromarray(mask).save(tmp_path / "clip_0000.000s.png")
    loaded = load([clip], limit=2, masks=tmp_path)
    assert loaded.masks[0].mean() == 0.5
    assert loaded.masks[1].all()
    assert loaded.skipped[0][0] == "clip_0002.900s.png"


def test_progress_and_cancelling(clip):
    calls = []
    load(clip, limit=2, progress=lambda *call: calls.append(call))
    assert calls[0] == ("video", 1, 30)
    assert calls[-1] == ("video", 30, 30)

    def cancel(*_call):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(clip, progress=cancel)


def test_a_truncated_video_gives_what_it_has(clip, tmp_path):
    cut = tmp_path / "cut.avi"
    whole = clip.read_bytes()
    starts = [at for at in range(len(whole)) if whole.startswith(b"\xff\xd8\xff", at)]  # of each frame's JPEG
    cut.write_bytes(whole[: starts[15] + 40])
    loaded = load(cut, limit=4)
    assert len(loaded) == 4
    found = numbers(loaded)
    assert found[0] == 0
    assert 10 <= found[-1] <= 15  # spread over what can be read
    assert len(loaded.skipped) == 1
    name, sentence = loaded.skipped[0]
    assert name == "cut.avi"
    assert sentence.startswith("cut.avi is cut off or damaged: ")
    assert sentence.endswith("of its 30 frames can be read.")
    with pytest.raises(ValueError, match=r"^cut.avi is cut off or damaged"):
        load(cut, strict=True)


def test_what_is_no_video(clip, tmp_path, capfd):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("this is not a video\n" * 50)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "start.avi").write_bytes(clip.read_bytes()[:300])
    for name, words in {
        "empty.mp4": "is empty (0 bytes)",
        "text.mp4": "is a text file, not a video",
        "noise.mp4": "cannot be opened as a video",
        "start.avi": "start.avi",
        "missing.mp4": "does not exist",
    }.items():
        with pytest.raises(ValueError, match=words.replace("(", r"\(").replace(")", r"\)")) as caught:
            load(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    assert "VIDEOIO" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": 30}, "start is 30, but clip.avi has only 30 frames"),
        ({"frame_rate": 0}, "frame_rate is 0"),
        ({"frame_rate": float("nan")}, "frame_rate is nan"),
        ({"every": 0}, "every is 0"),
        ({"limit": 0}, "limit is 0"),
    ],
)
def test_bad_options(clip, options, words):
    with pytest.raises(ValueError, match=words):
        load(clip, **options)


def test_without_pyav_the_command_to_install_it_is_named(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"pip install av$"):
        load(clip)


def test_the_real_video(shared):
    loaded = load(shared / "photos" / "room.mp4", limit=4)
    assert loaded.names[0] == "room_0000.000s.png"
    assert loaded.names[-1] == "room_0007.000s.png"
    assert loaded.original_sizes.tolist() == [[512, 384]] * 4


def test_the_real_video_cut_short_cannot_be_opened(shared, tmp_path):
    cut = tmp_path / "cut.mp4"
    cut.write_bytes((shared / "photos" / "room.mp4").read_bytes()[:200_000])
    with pytest.raises(ValueError, match=r"^cut.mp4 cannot be opened as a video: .* its end is missing"):
        load(cut)


def test_a_video_taken_upright_is_turned(tmp_path):
    path = tmp_path / "upright.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj444p"
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:, :32] = 200  # what is left here is on top once the file's quarter turn clockwise is done
        for packet in [*stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")), *stream.encode()]:
            container.mux(packet)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    one, nothing = (1 << 16).to_bytes(4, "big"), bytes(4)
    data[matrix : matrix + 20] = nothing + one + nothing + (-1 << 16).to_bytes(4, "big", signed=True) + nothing
    path.write_bytes(data)
    loaded = load(path)
    assert loaded.original_sizes.tolist() == [[48, 64]]
    assert loaded.images[0, 5, 20, 0] > 150 > 50 > loaded.images[0, -5, 20, 0]


STOPS_EARLY = """
import logging, runpy, sys
from pathlib import Path
import av
runpy.run_path(sys.argv[1] + "/__main__.py", run_name="manyview_registration")
from manyview.scene.video import read_frames
av.logging.set_level(av.logging.DEBUG)  # from now on the decoder's threads need the interpreter to write a line
logging.disable(logging.CRITICAL)
for _ in range(30):
    frames = []
    read_frames(Path(sys.argv[1]) / "sample" / "walk.mp4", [0, 3], frames.append)
    assert [frame.number for frame in frames] == [0, 3]
"""


def test_a_decoder_that_logs_does_not_hang(root):
    """Closing while threads of the decoder were writing log lines stood still for good."""
    subprocess.run([sys.executable, "-c", STOPS_EARLY, str(root)], check=True, timeout=120)
