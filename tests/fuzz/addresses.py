"""Odd addresses of the demo, as a browser or a script could send them: known ones with parts replaced or mixed."""

import random
from collections.abc import Iterator

KNOWN = [
    "/",
    "/config",
    "/login",
    "/manyview/viewer.html",
    "/manyview/viewer/main.mjs",
    "/manyview/sample/frame_00.jpg",
    "/manyview/files/{token}/output/a.ply",
    "/manyview/files/{token}/temp/frames/x.jpg",
    "/manyview/files/{token}/photo/1.jpg",
    "/manyview/files/{token}/video.jpg",
    "/manyview/files/{token}/frames/0/image_0.jpg",
    "/gradio_api/info",
    "/gradio_api/file={token}",
    "/gradio_api/file/x.jpg",
    "/gradio_api/stream/1/2/3/playlist.m3u8",
    "/gradio_api/upload_progress?upload_id=1",
    "/gradio_api/custom_component/a/client/b/c.js",
    "/gradio_api/proxy=https://a.example/x",
    "/static/img/x.png",
    "/assets/x.js",
    "/svelte/x.js",
    "/theme.css?v=1",
    "/pwa_icon/1",
]
ODD = [
    "..",
    "%2e%2e",
    "%2f",
    "%5c",
    "%00",
    "%ff",
    "%c3%28",
    "%ed%a0%80",
    "%0a",
    "%0d%0aX:1",
    "\\",
    ":",
    "*",
    "|",
    "%",
    "%zz",
]
ODD += [
    "",
    ".",
    "...",
    "~",
    "~root",
    "CON",
    "NUL",
    "C:%5cwindows",
    "%2fetc%2fpasswd",
    "file:%2f%2f",
    "%F0%9F%98%80",
    "{}",
]
ODD += [
    "-1",
    "0",
    "99999999999999999999",
    "1e999",
    "NaN",
    "null",
    "x" * 300,
    "x" * 6000,
    "%41" * 100,
    "%C3%A9" * 130,
    "&",
    "=",
    "#",
]


def odd_addresses(count: int, token: str = "x", seed: int = 0) -> Iterator[str]:
    """So many of them, the same ones for the same seed; ASCII, as on the wire. None is a stream that does not end."""
    draw = random.Random(seed)
    for _ in range(count):
        parts = draw.choice(KNOWN).replace("{token}", token).split("/")
        for _ in range(draw.randint(0, 4)):
            place, odd = draw.randrange(1, len(parts)), draw.choice(ODD)
            action = draw.choice(["replace", "insert", "append", "repeat", "bytes"])
            if action == "replace":
                parts[place] = odd
            elif action == "insert":
                parts.insert(place, odd)
            elif action == "append":
                parts[place] += odd
            elif action == "repeat":
                parts[place:place] = parts[1:] * draw.choice([1, 1, 20])
            else:
                parts[place] += "".join(f"%{draw.randrange(256):02x}" for _ in range(draw.randint(1, 12)))
        yield "/".join(parts)[:60_000]
