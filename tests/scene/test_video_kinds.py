"""Videos of all kinds that cameras, phones and browsers write, made small."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from manyview.scene import video
from manyview.scene.hdr import BT2020, DISPLAY_P3, HLG, PQ, to_srgb
from manyview.scene.images import load_images

av = pytest.importorskip("av", reason="reading video needs PyAV")

MILLISECONDS = Fraction(1, 1000)
FORTIETH = Fraction(1, 25)


def write(path, stamps, codec="mpeg4", *, size=(64, 48), pixels="yuv420p", picture=None, base=MILLISECONDS, **more):
    """A video with frames at these time stamps; picture(n) is (H, W, 3 or 4), else grey of level 7 n."""
    with av.open(str(path), "w", options=more.get("container", {})) as container:
        stream = container.add_stream(codec, rate=more.get("rate", 10))
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.codec_context.time_base = base
        for name, value in more.get("context", {}).items():
            setattr(stream.codec_context, name, value)
        for number, stamp in enumerate(stamps):
            shown = np.full((size[1], size[0], 3), 7 * number, np.uint8) if picture is None else picture(number)
            frame = av.VideoFrame.from_ndarray(shown, format="rgba" if shown.shape[2] == 4 else "rgb24")
            frame.pts, frame.time_base = stamp, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def load(path, **options):
    return load_images(path, **{"resolution": 56, **options})


def seconds(loaded):
    return [float(name.rsplit("_", 1)[1][:8]) for name in loaded.names]


def levels(loaded):
    return [round(float(level) / 7) for level in loaded.images.mean(axis=(1, 2, 3))]


def test_a_trimmed_video_shows_what_its_edit_list_says(tmp_path):
    container = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
    stamps = [number * 100 - 1000 for number in range(30)]  # the first second is stored and not shown
    path = write(tmp_path / "trimmed.mp4", stamps, container=container)
    loaded = load(path, strict=True)
    assert seconds(loaded) == [number / 10 for number in range(20)]
    assert levels(loaded) == list(range(10, 30))
    assert loaded.video_frames == tuple(range(20))
    assert loaded.skipped == ()


def test_a_variable_frame_rate(tmp_path):
    stamps = [*range(0, 1000, 50), *range(1000, 6001, 500)]
    path = write(tmp_path / "varies.mp4", stamps)
    assert seconds(load(path, frame_rate=1)) == [0, 1, 2, 3, 4, 5, 6]
    assert seconds(load(path, limit=4)) == [0, 2, 4, 6]


@pytest.mark.parametrize("name", ["one.mp4", "one.avi", "one.ts"])
def test_a_video_of_one_frame(tmp_path, name):
    codec = "mpeg2video" if name.endswith("ts") else "mpeg4"
    for _ in range(20):  # freed memory was read here, which does not fail each time
        loaded = load(write(tmp_path / name, [0], codec, base=FORTIETH, rate=25), strict=True)
        assert len(loaded) == 1
        assert loaded.skipped == ()


@pytest.mark.parametrize("name", ["late.mkv", "late.mp4"])
def test_seconds_count_from_the_first_frame(tmp_path, name):
    path = write(tmp_path / name, [5000 + number * 100 for number in range(20)])
    loaded = load(path, frame_rate=1, strict=True)
    assert seconds(loaded) == [0, 1]
    assert loaded.skipped == ()


def test_frames_of_two_sizes_are_used_as_photos_of_two_sizes_are(tmp_path):
    parts = [(tmp_path / "a.ts", (64, 48)), (tmp_path / "b.ts", (48, 64))]
    for path, size in parts:
        write(path, range(8), "mpeg2video", size=size, base=FORTIETH, rate=25)
    turned = tmp_path / "turned.ts"
    turned.write_bytes(b"".join(path.read_bytes() for path, _ in parts))
    loaded = load(turned, limit=6)
    assert {tuple(size) for size in loaded.original_sizes.tolist()} == {(64, 48), (48, 64)}
    for number, size in enumerate(loaded.original_sizes.tolist()):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
    photos = load(tmp_path)
    np.testing.assert_array_equal(loaded.scale_offset, photos.scale_offset)
    np.testing.assert_array_equal(loaded.masks, photos.masks)
    assert seconds(loaded) == sorted(set(seconds(loaded)))


@pytest.mark.parametrize(("shape", "size"), [("4/3", (85, 48)), ("1/2", (32, 48)), ("100/1", (64, 48))])
def test_pixels_become_square(tmp_path, shape, size):
    path = write(tmp_path / "wide.mp4", [0, 100], context={"sample_aspect_ratio": Fraction(shape)})
    assert load(path).original_sizes.tolist() == [list(size)] * 2


def test_a_mirrored_video_is_mirrored_back(tmp_path):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, :32] = 200
    path = write(tmp_path / "mirror.mov", [0, 100], "mjpeg", pixels="yuvj444p", picture=lambda _: picture)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    data[matrix : matrix + 4] = (-1 << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    loaded = load(path)
    assert loaded.images[0, 20, -5, 0] > 150 > 50 > loaded.images[0, 20, 5, 0]


COLOURS = [(255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (200, 150, 100), (60, 120, 180)]
MATRICES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}


def stored(colours, matrix, full, bits):
    """YUV values of R'G'B' in 0..1 as a video stores them."""
    red, green, blue = np.moveaxis(np.asarray(colours, float), -1, 0)
    kr, kb = MATRICES[matrix]
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = [(blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))]
    top, step = 2**bits - 1, 2 ** (bits - 8)
    if full:
        return [luma * top, *(value * top + 2 ** (bits - 1) for value in chroma)]
    return [(16 + 219 * luma) * step, *((128 + 224 * value) * step for value in chroma)]


def write_yuv(path, planes, bits, context):
    """A lossless video of one frame with bars of these values."""
    name = "yuv444p" if bits == 8 else f"yuv444p{bits}le"
    kind = np.uint8 if bits == 8 else np.dtype("<u2")
    frame = av.VideoFrame(16 * len(planes[0]), 32, name)
    for plane, values in zip(frame.planes, planes, strict=True):
        row = np.zeros(plane.line_size // np.dtype(kind).itemsize, kind)
        row[: frame.width] = np.repeat(np.clip(np.rint(values), 0, 2**bits - 1), 16)
        plane.update(np.tile(row, (32, 1)).tobytes())
    frame.pts, frame.time_base = 0, MILLISECONDS
    frame.color_range, frame.colorspace = context["color_range"], context["colorspace"]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, name
        for key, value in context.items():
            setattr(stream.codec_context, key, value)
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    return path


def bars(path):
    loaded = load(path, resolution=112, patch_size=1)
    assert loaded.images.shape[2] == 16 * len(COLOURS)
    return loaded.images[0, 16, 8::16].astype(int), loaded.skipped


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_colours_of_each_matrix_range_and_depth(tmp_path, matrix, full, bits):
    context = {"colorspace": matrix, "color_range": 2 if full else 1}
    planes = stored(np.array(COLOURS) / 255, matrix, full, bits)
    found, notes = bars(write_yuv(tmp_path / "bars.mkv", planes, bits, context))
    np.testing.assert_allclose(found, COLOURS, atol=3)
    assert notes == ()


def light(colours):
    """Linear light of sRGB colours, 1 = white."""
    value = np.array(colours) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def pq(linear):
    power = (linear * 203 / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(linear):
    scene = linear * 0.264962  # what 75 % of the range stands for
    above = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), above)


TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


@pytest.mark.parametrize(("transfer", "curve", "name"), [(PQ, pq, "PQ"), (HLG, hlg, "HLG")])
def test_hdr_becomes_sdr_with_reference_white_as_white(tmp_path, transfer, curve, name):
    values = curve((light(COLOURS) @ TO_BT2020.T).clip(0))
    context = {"color_trc": transfer, "color_primaries": BT2020, "colorspace": 9, "color_range": 1}
    found, notes = bars(write_yuv(tmp_path / "hdr.mkv", stored(values, 9, False, 10), 10, context))
    np.testing.assert_allclose(found[[0, 1, 4, 5, 6]], np.array(COLOURS)[[0, 1, 4, 5, 6]], atol=5)
    assert [sentence for _, sentence in notes] == [
        f"hdr.mkv is HDR ({name}): converted to SDR, what is brighter than white is cut."
    ]
    assert load(tmp_path / "hdr.mkv", strict=True)  # a note is no fault


def test_wide_gamut_white_and_grey_stay_neutral():
    grey = np.full((3, 4, 3), 40000, np.uint16)
    for primaries in (BT2020, DISPLAY_P3):
        result = to_srgb(grey, 1, primaries)
        assert result.dtype == np.uint8
        assert np.ptp(result) <= 1


def test_transparency_is_a_mask_as_that_of_a_photo_is(tmp_path):
    picture = np.full((48, 64, 4), 100, np.uint8)
    picture[:, 32:, 3] = 0
    picture[:, :32, 3] = 255
    for name, codec, pixels in (("clear.mov", "png", "rgba"), ("clear.mkv", "ffv1", "yuva420p")):
        loaded = load(write(tmp_path / name, [0, 100], codec, pixels=pixels, picture=lambda _: picture))
        assert loaded.masks[:, :, :26].all()
        assert not loaded.masks[:, :, 30:].any()
        assert (loaded.images[:, :, 30:] > 250).all()  # on white
    Image.fromarray(picture).save(tmp_path / "clear.png")
    np.testing.assert_array_equal(load(tmp_path / "clear.png").masks[0], loaded.masks[0])


def test_transparency_of_webm(tmp_path):
    if not {"libvpx-vp9"} <= av.codecs_available:
        pytest.skip("this PyAV has no libvpx")
    picture = np.full((48, 64, 4), 100, np.uint8)
    picture[:, 32:, 3] = 0
    loaded = load(write(tmp_path / "c.webm", [0, 100], "libvpx-vp9", pixels="yuva420p", picture=lambda _: picture))
    assert loaded.masks.mean(axis=(0, 1))[[10, 50]].tolist() == [1, 0]


def test_one_damaged_packet_costs_its_frame_alone(tmp_path):
    path = write(tmp_path / "hurt.avi", range(0, 3000, 100), "ffv1", pixels="bgr0", context={"gop_size": 1})
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][14]
        place, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[place : place + size] = bytes(byte ^ 0xA5 for byte in data[place : place + size])
    path.write_bytes(data)
    loaded = load(path)
    if len(loaded) == 30:
        pytest.skip("this version of the decoder hides the damage")
    assert set(range(30)) - set(levels(loaded)) <= {14}
    assert levels(loaded)[-1] == 29
    assert loaded.skipped == (("hurt.avi", "hurt.avi is cut off or damaged: 29 of its 30 frames can be read."),)
    assert seconds(loaded)[-1] == 2.9
    with pytest.raises(ValueError, match="29 of its 30 frames"):
        load(path, strict=True)


def test_of_several_streams_the_largest_is_used_and_told(tmp_path):
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for size in ((32, 32), (64, 48)):
            stream = container.add_stream("ffv1", rate=10)
            stream.width, stream.height = size
            streams.append(stream)
        for stream in streams:
            picture = np.zeros((stream.height, stream.width, 3), np.uint8)
            for packet in (*stream.encode(av.VideoFrame.from_ndarray(picture)), *stream.encode()):
                container.mux(packet)
    loaded = load(path)
    assert loaded.original_sizes.tolist() == [[64, 48]]
    assert loaded.skipped == (("two.mkv", "two.mkv holds 2 video streams: number 2 (64 x 48) is used."),)


def test_frames_that_cannot_be_converted_are_a_sentence(tmp_path, monkeypatch):
    path = write(tmp_path / "odd.mp4", [0, 100])

    def refuse(*_):
        raise av.error.FFmpegError(22, "no path between colorspaces")

    monkeypatch.setattr("manyview.scene.video.picture_of", refuse)
    with pytest.raises(ValueError, match=r"^odd.mp4 has frames of a kind that cannot be read here \(yuv420p\)"):
        load(path)


def test_a_long_video_is_read_a_frame_at_a_time(tmp_path, monkeypatch):
    import gc
    import weakref

    path = write(tmp_path / "long.mp4", range(0, 3000, 100))
    alive, most = [], 0
    real = video.picture_of

    def counted(*words):
        nonlocal most
        gc.collect()
        picture = real(*words)
        alive.append(weakref.ref(picture.image))
        most = max(most, sum(one() is not None for one in alive))
        return picture

    monkeypatch.setattr(video, "picture_of", counted)
    assert len(load(path, limit=30)) == 30
    assert most <= 2


def test_frames_that_avi_stores_in_another_order(tmp_path):
    moving = np.random.default_rng(0).integers(0, 255, (48, 200, 3), np.uint8)
    context = {"max_b_frames": 2, "gop_size": 12}
    for codec in ("mpeg4", "libx264"):
        if codec not in av.codecs_available:
            continue
        path = write(
            tmp_path / f"{codec}.avi",
            range(60),
            codec,
            base=FORTIETH,
            rate=25,
            picture=lambda n: np.ascontiguousarray(moving[:, n : n + 64]),
            context=context,
        )
        loaded = load(path, frame_rate=5)
        assert seconds(loaded) == pytest.approx([number / 5 for number in range(12)])
        assert loaded.skipped == ()


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        sound.rate = 8000
        for packet in (*stream.encode(sound), *stream.encode()):
            container.mux(packet)
    with pytest.raises(ValueError, match=r"^sound.mp4 holds sound, but no video"):
        load(path)


def test_interlaced_frames_show_one_moment(tmp_path):
    lines = (np.arange(48) % 2 * 200 + 20).astype(np.uint8)
    picture = np.broadcast_to(lines[:, None, None], (48, 64, 3)).copy()  # as a bright wall that appears between fields
    context = {"flags": 0x40000 | 0x20000000}  # fields are coded apart
    path = write(
        tmp_path / "tape.mpg",
        range(3),
        "mpeg2video",
        base=FORTIETH,
        rate=25,
        picture=lambda _: picture,
        context=context,
    )
    loaded = load(path, resolution=64, patch_size=1)
    assert np.ptp(loaded.images[0, :, :, 0]) < 10
    assert loaded.skipped[0][1].startswith("tape.mpg is interlaced")
