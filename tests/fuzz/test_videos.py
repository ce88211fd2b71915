"""Damaged and hostile videos give frames or one sentence, and open nothing but themselves."""

import os
import random
from fractions import Fraction

import numpy as np
import pytest

from manyview.scene.images import load_images

av = pytest.importorskip("av", reason="reading video needs PyAV")

KINDS = {  # file name -> codec, pixel format
    "a.mp4": ("mpeg4", "yuv420p"),
    "b.mkv": ("ffv1", "yuv420p"),
    "c.avi": ("mjpeg", "yuvj420p"),
    "d.ts": ("mpeg2video", "yuv420p"),
    "e.mov": ("png", "rgba"),
    "f.flv": ("flv1", "yuv420p"),
    "g.wmv": ("wmv2", "yuv420p"),
    "h.mpg": ("mpeg1video", "yuv420p"),
}
WORDS = (0, 1, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
CODECS = (b"avc1", b"hvc1", b"vp09", b"xxxx", b"mp4v", b"apcn", b"raw ", b"MJPG", b"\0\0\0\0")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A small clip of each kind, as bytes."""
    folder = tmp_path_factory.mktemp("clips")
    return {name: write(folder / name, *how) for name, how in KINDS.items()}


def write(path, codec, pixels):
    base = Fraction(1, 25)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for number in range(6):
            picture = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = number, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()


def mutated(data, chance):
    """The bytes with one to five changes of the kinds that break parsers."""
    data = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(data)) if chance.random() < 0.5 else chance.randrange(min(len(data), 800))
        match chance.randrange(6):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at : at + 4] = chance.choice(WORDS).to_bytes(4, chance.choice(("big", "little")))
            case 2:
                data[at : at + 4] = chance.choice(CODECS)
            case 3:
                length = chance.randint(1, 200)
                data[at : at + length] = bytes(chance.randrange(256) for _ in range(length))
            case 4:
                del data[max(8, at) :]
            case 5:
                data[at:at] = data[at : at + chance.randint(1, 300)]
    return bytes(data)


def frames_or_sentence(path):
    """Reads a video as the commands do; whatever is wrong must be one sentence."""
    try:
        loaded = load_images(path, resolution=28, limit=3)
    except ValueError as error:
        assert path.name in str(error)
        assert "\n" not in str(error)
        return str(error)
    assert 1 <= len(loaded) <= 3
    return ""


def test_mutated_videos(clips, tmp_path, fuzz_cases):
    names = list(clips)
    for seed in range(fuzz_cases):
        chance = random.Random(seed)
        name = names[seed % len(names)]
        path = tmp_path / name
        path.write_bytes(mutated(clips[name], chance))
        frames_or_sentence(path)


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n"
SCRIPTS = {
    "hls": PLAYLIST,
    "concat": "ffconcat version 1.0\nfile {0}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "dash": '<?xml version="1.0"?><MPD><Period><AdaptationSet><BaseURL>{0}</BaseURL></AdaptationSet></Period></MPD>',
}


@pytest.mark.parametrize("kind", SCRIPTS)
@pytest.mark.parametrize("tail", ["", "\0\x01"])
def test_lists_of_other_files_are_no_videos(clips, tmp_path, kind, tail):
    (tmp_path / "secret.ts").write_bytes(clips["d.ts"])
    for target in ("secret.ts", str(tmp_path / "secret.ts"), f"file:{tmp_path}/secret.ts"):
        for ending in ("mp4", "ts", "mov"):
            path = tmp_path / f"list.{ending}"
            path.write_bytes((SCRIPTS[kind].format(target) + tail).encode())
            assert frames_or_sentence(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize(
    "name", ["v 10:22:31.mp4", "http:x.mp4", "concat:a.mp4|b.mp4", "%03d.mp4", "-i.mp4", "a\udcff.mp4"]
)
def test_names_are_names(clips, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with open(name, "wb") as file:
        file.write(clips["a.mp4"])
    assert len(load_images(name, resolution=28, limit=2)) == 2


def test_tags_in_another_encoding(clips, tmp_path):
    data = clips["a.mp4"].replace(b"VideoHandler", b"Vid\xe9oHandl\xe9r")
    assert data != clips["a.mp4"]
    (tmp_path / "tags.mp4").write_bytes(data)
    assert frames_or_sentence(tmp_path / "tags.mp4") == ""


def test_a_codec_that_nobody_knows(clips, tmp_path):
    (tmp_path / "new.avi").write_bytes(clips["c.avi"].replace(b"MJPG", b"ZZZZ"))
    assert "in a format that cannot be decoded here" in frames_or_sentence(tmp_path / "new.avi")


def test_frames_beyond_the_limit_of_pixels_are_not_decoded(clips, tmp_path):
    data = bytearray(clips["e.mov"])
    while (at := data.find(b"IHDR\0\0\0\x40")) >= 0:
        data[at + 4 : at + 12] = (20_000).to_bytes(4, "big") * 2
    (tmp_path / "huge.mov").write_bytes(data)
    assert "damaged" in frames_or_sentence(tmp_path / "huge.mov")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "is no file" in frames_or_sentence(tmp_path / "pipe.mp4")


def changed(data, kind, offset, *numbers):
    """The bytes with these numbers behind the first box of a kind."""
    at = data.index(kind) + 4 + offset
    new = b"".join(number.to_bytes(4, "big") for number in numbers)
    return data[:at] + new + data[at + len(new) :]


def test_tables_that_claim_more_than_the_file_can_hold_are_not_made(clips, tmp_path):
    whole = clips["a.mp4"]
    many = changed(changed(whole, b"stsz", 4, 1, 80_000_000), b"stsc", 12, 80_000_000)
    fragment = b"\0\0\0\x24moof\0\0\0\x1ctraf\0\0\0\x14trun" + bytes(4) + (80_000_000).to_bytes(4, "big") + bytes(4)
    for number, data in enumerate((many, whole + fragment, changed(whole, b"elst", 4, 2**31))):
        path = tmp_path / f"claims{number}.mp4"
        path.write_bytes(data)
        assert "it claims" in frames_or_sentence(path)


def test_long_plain_sound_beside_a_video_is_no_absurd_claim(clips, tmp_path):
    from manyview.scene.mp4_claims import refuse_absurd_claims

    def box(kind, content):
        return (8 + len(content)).to_bytes(4, "big") + kind + content

    def numbers(*values):
        return b"".join(value.to_bytes(4, "big") for value in values)

    long = 48_000 * 600
    tables = box(b"stts", numbers(0, 1, long, 1)) + box(b"stsz", numbers(0, 4, long))
    media = box(b"hdlr", numbers(0, 0) + b"soun" + bytes(13)) + box(b"minf", box(b"stbl", tables))
    path = tmp_path / "long.mov"
    with path.open("wb") as file:
        file.write(box(b"moov", box(b"trak", box(b"mdia", media))) + numbers(0) + b"mdat")
        file.truncate(4 * long)  # a hole, where the file system has them
    with path.open("rb") as file:
        refuse_absurd_claims(file, path.name)
