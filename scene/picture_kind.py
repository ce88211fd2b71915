"""What a file is, told by its first bytes and never by its name: a picture that is read, a video, or something else."""

import re
from pathlib import Path

START_BYTES = 2048
RAW_SUFFIXES = frozenset({".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2"})
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JP2_START = b"\0\0\0\x0cjP  \r\n\x87\n"
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    **dict.fromkeys(TIFF_STARTS, "TIFF"),
    _JP2_START: "JPEG2000",
    b"\xff\x4f\xff\x51": "JPEG2000",
}
_BINARY_PNM = re.compile(rb"P[456]((\s|#[^\r\n]*[\r\n])+[0-9]{1,10}){2,3}\s")
_VIDEO_STARTS = (
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01",  # MXF
    b"\0\0\x01\xba",  # MPEG program stream, as .vob and .mpg
    b"\0\0\x01\xb3",  # MPEG video without a container
    b"\0\0\0\x01\x67",  # H.264 without a container
    b"\x1aE\xdf\xa3",  # Matroska and WebM
    b"FLV\x01",
    b"0&\xb2u\x8ef\xcf\x11",  # ASF, as .wmv
    b".RMF",
    b"OggS",
    b"DKIF",
    b"YUV4MPEG2",
    b"\x1f\x07\0",  # DV
)
_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")  # what old QuickTime files begin with
_OTHERS = (
    (b"%!PS", "a PostScript file, which is a program and no photo: export it as PNG"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file, which is a program and no photo: export it as PNG"),
    (b"%PDF", "a PDF document, not a photo: export its pictures as PNG"),
    (b"/* XPM", "an XPM icon, not a photo: save it as PNG"),
    (b"#define", "an XBM icon, not a photo: save it as PNG"),
    (b"P1", "a PNM picture written as text, which is no photo: save it as PNG"),
    (b"P2", "a PNM picture written as text, which is no photo: save it as PNG"),
    (b"P3", "a PNM picture written as text, which is no photo: save it as PNG"),
    (b"8BPS", "a Photoshop file: export it as JPEG or PNG"),
    (b"\xff\x0a", "a JPEG XL picture, which cannot be read: convert it to JPEG or PNG"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture, which cannot be read: convert it to JPEG or PNG"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture, which cannot be read: save it as PNG with 8 or 16 bits"),
    (b"#?RADIANCE", "a Radiance HDR picture, which cannot be read: save it as PNG with 8 or 16 bits"),
    (b"PK\x03\x04", "a zip archive: unpack it and give the folder"),
    (b"version https://git-lfs", "a git-lfs pointer: run `git lfs pull`"),
)


def picture_kind(start: bytes, suffix: str) -> str | None:
    """Pillow's name of the format that these first bytes mean; None if they are no picture that is read."""
    for beginning, kind in _STARTS.items():
        if start.startswith(beginning):
            return kind
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        return _kind_by_brand(start)
    if _BINARY_PNM.match(start):
        return "PPM"
    # TGA files begin with no mark of their own; byte 1 tells of a palette, byte 2 the type, byte 16 bits a pixel
    is_tga = start[1:2] in (b"\0", b"\1") and start[2:3] in map(bytes, ([1], [2], [3], [9], [10], [11]))
    return "TGA" if suffix.lower() == ".tga" and is_tga else None


def is_video_start(start: bytes) -> bool:
    """Whether a file that begins so is a video."""
    if start.startswith(_VIDEO_STARTS) or start[4:8] in _ATOMS:
        return True
    if start[4:8] == b"ftyp":
        return _kind_by_brand(start) is None
    if start.startswith(b"RIFF"):
        return start[8:12] in (b"AVI ", b"AVIX")
    packets = (range(0, 3 * 188, 188), range(4, 3 * 192, 192))  # MPEG transport stream, without and with time codes
    return any(all(start[at : at + 1] == b"G" for at in places) for places in packets)


def foreign(path: Path, start: bytes) -> str:
    """A sentence on what the file is instead of a picture that is read, as far as its first bytes tell."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if is_video_start(start):
        return f"{path.name} is a video, not a picture: rename it, as {path.stem}.mp4, and give it alone."
    if text.lower().startswith((b"<!doctype", b"<html")):
        return f"{path.name} is a web page saved under a picture's name: download the picture itself."
    if text.lower().startswith((b"<svg", b"<?xml")):
        return f"{path.name} is a drawing or a text (XML), not a photo: export it as PNG."
    for beginning, what in _OTHERS:
        if text.startswith(beginning):
            return f"{path.name} is {what}."
    if start.startswith((b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"P4", b"P5", b"P6")):
        return f"{path.name} is damaged or cut off (its header is incomplete): copy it again."
    if not any(byte < 9 for byte in start):
        return f"{path.name} is a text file, not a picture."
    return f"{path.name} is not a picture that can be read: save it as JPEG or PNG."


def _kind_by_brand(start: bytes) -> str | None:
    """AVIF or HEIF by the brands of an ISO media file; None for the others, which are videos."""
    length = min(int.from_bytes(start[:4], "big"), len(start))
    brands = [start[8:12], *(start[at : at + 4] for at in range(16, length - 3, 4))]
    if brands[0] in _AVIF_BRANDS or (brands[0] in _HEIF_BRANDS and any(each in _AVIF_BRANDS for each in brands)):
        return "AVIF"
    return "HEIF" if brands[0] in _HEIF_BRANDS else None
