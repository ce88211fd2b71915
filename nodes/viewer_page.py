"""The viewer (web/viewer.html with its modules and styles) as one page, for hosts where each file would be a request.

The files stay as they are for everyone who serves the folder; this only puts them together, a function for each module.
"""

import base64
import hashlib
import re
from pathlib import Path

WEB = Path(__file__).resolve().parents[1] / "web"
IMPORT = re.compile(r'^import (?:\{(?P<names>[^}]*)\}|\* as (?P<whole>\w+)) from "(?P<file>\.[^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
STYLE = '<link rel="stylesheet" href="viewer/style.css">'
SCRIPT = '<script type="module" src="viewer/main.mjs"></script>'


def viewer_page(web: Path = WEB) -> str:
    """HTML that needs nothing else and lets nothing else run; ValueError for files that are written in another way."""
    page = (web / "viewer.html").read_text(encoding="utf-8")
    script = bundle(web / "viewer" / "main.mjs")
    style = (web / "viewer" / "style.css").read_text(encoding="utf-8")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    for part, count in ((STYLE, 1), (SCRIPT, 1), ("script-src 'self'", 1), ("</script", 0)):
        if (script if part == "</script" else page).count(part) != count:
            raise ValueError(
                f"{part} must be there {count} times in the viewer's files; put it as viewer_page wants it."
            )
    page = page.replace("script-src 'self'", f"script-src 'sha256-{allowed}'")
    return page.replace(STYLE, f"<style>{style}</style>").replace(SCRIPT, f'<script type="module">{script}</script>')


def bundle(main: Path) -> str:
    """A module and all that it imports as one script."""
    names: dict[Path, str] = {}
    parts: list[str] = []
    _add(main.resolve(), names, parts, ())
    return "".join(parts)


def _add(file: Path, names: dict[Path, str], parts: list[str], above: tuple[Path, ...]) -> str:
    """The name of the constant that holds what the module exports; it is in `parts` then, after what it imports."""
    if file in above:
        raise ValueError(f"{file.name} imports itself by way of others; take what both need into a file of its own.")
    if file not in names:
        text = file.read_text(encoding="utf-8")

        def taken(match: re.Match) -> str:
            source = _add((file.parent / match["file"]).resolve(), names, parts, (*above, file))
            wanted = match["whole"] or "{" + match["names"].replace(" as ", ": ") + "}"
            return f"const {wanted} = {source};\n"

        body = EXPORT.sub("", IMPORT.sub(taken, text))
        if left := re.search(r"^(?:import|export)\b.*", body, re.MULTILINE):
            raise ValueError(f"{file.name} has the line {left[0]!r}, which bundle does not read.")
        exports = ", ".join(EXPORT.findall(text))
        names[file] = f"module{len(names)}"
        parts.append(f"const {names[file]} = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();\n")
    return names[file]
