"""Writers for other people's programs: nothing is overwritten silently, and no half file gets a final name."""

from .colmap import write_colmap
from .depth import write_depth
from .glb import write_glb
from .npz import read_npz, write_npz
from .ply import write_ply
from .viewer import write_cameras, write_viewer
