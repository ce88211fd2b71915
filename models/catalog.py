"""The checkpoints we know, and where they lie on this computer. Fetching them is in download.py."""

import os
from dataclasses import dataclass
from pathlib import Path

from ..texts.paths import is_there, named_path
from ..texts.shown import shortened

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class Checkpoint:
    """One published file of weights. `sha256` and `revision` are None where the publisher's file is not known to us."""

    name: str
    family: str  # a name in families.py
    repo: str | None  # on Hugging Face; None for a file that lies in this folder
    filename: str
    licence: str
    commercial_use: bool
    size_bytes: int | None
    parameters: int
    good_for: str  # what to choose it for, a few words
    revision: str | None = None
    sha256: str | None = None
    gated: bool = False

    @property
    def url(self) -> str | None:
        """Where the file can be had with a browser; HF_ENDPOINT moves it to a mirror."""
        if self.repo is None:
            return None
        endpoint = os.getenv("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        return f"{endpoint}/{self.repo}/resolve/{self.revision or 'main'}/{self.filename}"

    @property
    def download_bytes(self) -> int:
        """Size of the file; where the publisher's is not known to us, that of its parameters in float32."""
        return self.size_bytes or 4 * self.parameters

    @property
    def use(self) -> str:
        """Whether the licence allows commercial use, in words."""
        if not self.commercial_use:
            return "non-commercial use only"
        return "commercial use after its owner agrees" if self.gated else "commercial use allowed"

    @property
    def notice(self) -> str:
        """One sentence on what the licence allows."""
        use = self.use.replace("non-commercial", "NON-COMMERCIAL")
        return f"The weights {self.name!r} are under {self.licence} ({use})."


CHECKPOINTS: dict[str, Checkpoint] = {
    checkpoint.name: checkpoint
    for checkpoint in (
        Checkpoint(
            name="mini",
            family="vggt",
            repo=None,
            filename="mini/mini.safetensors",
            licence="Apache-2.0",
            commercial_use=True,
            size_bytes=61_570_240,
            parameters=30_761_156,
            good_for="trying things out without a download; rough on real photos",
            sha256="87c5d9ab786166e176a30d28ca5a55bf145735345a68bad06f436ed1059054b2",
        ),
        Checkpoint(
            name="vggt-1b",
            family="vggt",
            repo="facebook/VGGT-1B",
            filename="model.safetensors",
            licence="CC BY-NC 4.0",
            commercial_use=False,
            size_bytes=5_026_367_224,
            parameters=1_256_537_516,
            good_for="accurate cameras and depth; a card of 8 GB or more",
            revision="860abec7937da0a4c03c41d3c269c366e82abdf9",
            sha256="f164acf60724910d8fe1578bb499d800850c7bb0948db7555c413f9fbe60467e",
        ),
        Checkpoint(
            name="vggt-1b-commercial",
            family="vggt",
            repo="facebook/VGGT-1B-Commercial",
            filename="vggt_1B_commercial.pt",
            licence="the VGGT License with its acceptable use policy",
            commercial_use=True,
            size_bytes=None,
            parameters=1_256_537_516,
            good_for="VGGT where the result is sold",
            gated=True,
        ),
        Checkpoint(
            name="pi3",
            family="pi3",
            repo="yyfz233/Pi3",
            filename="model.safetensors",
            licence="CC BY-NC 4.0",
            commercial_use=False,
            size_bytes=3_834_909_248,
            parameters=958_696_732,
            good_for="photos in no order; a card of 8 GB or more",
            revision="ae722e7039287d0c8fde9f11f197f804f44b510c",
            sha256="33580e4702ac671558aedeab1148fd08118f7ce45bdbeb99f3e3cf340062875d",
        ),
        Checkpoint(
            name="da3-small",
            family="da3",
            repo="depth-anything/DA3-SMALL",
            filename="model.safetensors",
            licence="Apache-2.0",
            commercial_use=True,
            size_bytes=None,
            parameters=34_299_463,
            good_for="real photos on a CPU or a small card",
        ),
        Checkpoint(
            name="da3-base",
            family="da3",
            repo="depth-anything/DA3-BASE",
            filename="model.safetensors",
            licence="Apache-2.0",
            commercial_use=True,
            size_bytes=None,
            parameters=135_366_599,
            good_for="a first real result: real photos, free to use, on nearly any machine",
        ),
        Checkpoint(
            name="da3-large",
            family="da3",
            repo="depth-anything/DA3-LARGE-1.1",
            filename="model.safetensors",
            licence="CC BY-NC 4.0",
            commercial_use=False,
            size_bytes=None,
            parameters=410_941_767,
            good_for="finer results than da3-base; a card of 6 GB or more",
        ),
    )
}


def default_folder() -> Path:
    """Where hand-placed weights are looked for: $MANYVIEW_MODELS, else .cache/manyview/models in the home folder."""
    chosen = os.getenv("MANYVIEW_MODELS")
    return named_path(chosen) if chosen else Path.home() / ".cache" / "manyview" / "models"


def find_checkpoint(checkpoint: Checkpoint, folder: str | os.PathLike | None = None) -> Path | None:
    """The file on this computer or None: from this package, `folder`, the default folder or Hugging Face's cache."""
    for candidate in _candidates(checkpoint, folder):
        if candidate.is_file():
            return candidate
    return _in_hub_cache(checkpoint)


def checkpoint_file(path: str | os.PathLike, preferred: str = "model.safetensors") -> Path:
    """The weights a user points to: the file itself, or the one file of weights in a folder."""
    path = named_path(path)
    if is_there(path) and path.is_file():
        return path
    if not (is_there(path) and path.is_dir()):
        given = shortened(str(path))
        raise FileNotFoundError(f"There is no file or folder {given}; give a checkpoint's path or one of {_names()}.")
    if (path / preferred).is_file():
        return path / preferred
    found = sorted(entry for entry in path.iterdir() if entry.suffix in SUFFIXES and entry.is_file())
    if len(found) == 1:
        return found[0]
    if not found:
        raise FileNotFoundError(f"The folder {path} holds no weights ({', '.join(SUFFIXES)}); give the file itself.")
    names = ", ".join(entry.name for entry in found[:5])
    raise ValueError(f"The folder {path} holds several files of weights ({names}); give the one you mean.")


def missing_message(checkpoint: Checkpoint, folder: str | os.PathLike | None, reason: str) -> str:
    """What to tell somebody whose weights are not there: the exact address, file name and folder."""
    if checkpoint.repo is None:
        return (
            f"The weights {checkpoint.name!r} should lie at {_bundled_path(checkpoint)}, where they come with this "
            "package; clone or install it again."
        )
    target = named_path(folder) if folder is not None else default_folder()
    size = f" ({checkpoint.download_bytes / 1e9:.2f} GB)"
    return (
        f"The weights {checkpoint.name!r} cannot be used: {reason}. "
        f"To get them by hand, download {checkpoint.url}{size} and put it, named {Path(checkpoint.filename).name}, "
        f"into the folder {target / checkpoint.name}. {checkpoint.notice}"
    )


def _candidates(checkpoint: Checkpoint, folder: str | os.PathLike | None) -> list[Path]:
    if checkpoint.repo is None:
        return [_bundled_path(checkpoint)]
    given = [] if folder is None else [named_path(folder)]
    candidates = []
    for base in (*given, default_folder()):
        candidates.append(base / checkpoint.name / checkpoint.filename)
        candidates.extend(base / f"{checkpoint.name}{suffix}" for suffix in SUFFIXES)
    return candidates


def _bundled_path(checkpoint: Checkpoint) -> Path:
    return Path(__file__).resolve().parent / checkpoint.filename


def _in_hub_cache(checkpoint: Checkpoint) -> Path | None:
    try:
        from .hub_cache import in_hub_cache
    except ImportError:  # the ComfyUI registry's archive comes without that file
        return None
    return in_hub_cache(checkpoint)


def _names() -> str:
    return ", ".join(CHECKPOINTS)
