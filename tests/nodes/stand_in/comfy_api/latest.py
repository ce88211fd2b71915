"""As much of ComfyUI's V3 interface as our nodes use: schemas keep what they were given."""

from types import SimpleNamespace


class _Entry:
    """An input or output of a node."""

    def __init__(self, io_type, *args, **options):
        names = ["id", "options"] if io_type == "COMBO" else ["id"]
        self.__dict__.update(dict(zip(names, args, strict=False)) | options)
        self.io_type = io_type


ALLOWED = ["id", "display_name", "optional", "tooltip", "advanced", "default", "min", "max", "step", "options", "types"]


class _Input(_Entry):
    def __init__(self, io_type, *args, **options):
        assert options.keys() <= set(ALLOWED), options
        super().__init__(io_type, *args, **options)


class _Output(_Entry):
    def __init__(self, io_type, **options):
        assert options.keys() <= {"id", "display_name", "tooltip", "is_output_list"}, options
        super().__init__(io_type, **options)


def _kind(io_type):
    return SimpleNamespace(
        io_type=io_type,
        Input=lambda *args, **options: _Input(io_type, *args, **options),
        Output=lambda **options: _Output(io_type, **options),
    )


class _ComfyNode:
    hidden = SimpleNamespace(prompt={"1": {}}, extra_pnginfo={"workflow": {"nodes": []}})


class _NodeOutput:
    def __init__(self, *args, ui=None):
        self.args, self.ui = args, ui


io = SimpleNamespace(
    ComfyNode=_ComfyNode,
    Schema=SimpleNamespace,
    NodeOutput=_NodeOutput,
    Custom=_kind,
    Image=_kind("IMAGE"),
    Mask=_kind("MASK"),
    String=_kind("STRING"),
    Int=_kind("INT"),
    Float=_kind("FLOAT"),
    Boolean=_kind("BOOLEAN"),
    Combo=_kind("COMBO"),
    MultiType=_kind("MULTI"),
    File3DPLY=_kind("FILE_3D_PLY"),
)


class ComfyExtension:
    async def on_load(self):
        pass


class _File3D:
    def __init__(self, source, file_format):
        self.source, self.format = source, file_format


Types = SimpleNamespace(File3D=_File3D)
