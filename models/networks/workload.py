"""What one run of a network has to do, for estimates of its memory."""

from dataclasses import dataclass

FLOAT32 = 4


@dataclass(frozen=True)
class Workload:
    """N frames of H x W pixels, `frame_chunk` of them at a time in encoder and heads.

    sparse: global attention is sparse. packs: its blocks straddle frames (the paper's rule), so keys and values are
    copied. dense_heads: how many of the depth and point heads run, computing in numbers of `head_bytes` bytes.
    offload: images and results lie on the CPU. maps_on_cpu: so does what the dense heads will read.
    """

    frames: int
    height: int
    width: int
    frame_chunk: int = 8
    sparse: bool = True
    packs: bool = False
    dense_heads: int = 1
    head_bytes: int = FLOAT32
    offload: bool = True
    maps_on_cpu: bool = False

    @property
    def pixels(self) -> int:
        """Pixels of one frame."""
        return self.height * self.width

    @property
    def chunk(self) -> int:
        """Frames at a time."""
        return min(self.frames, self.frame_chunk)
