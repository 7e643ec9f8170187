"""Write docs/files.md: every module of the project with the first line of its docstring.

python -m tests.files_page

`test_architecture.py` compares the page with the tree, so it is written again whenever a module comes or goes.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "files.md"
PACKAGES = ("niah", "vilamp", "baselines")
OPENING = """\
# Every file, in a line

Made from the first line of each module by `python -m tests.files_page`. How they fit together: [architecture](architecture.md).
"""


def page() -> str:
    """Return the text of the page: a section for each folder, its modules in alphabetical order."""
    folders: dict[Path, list[Path]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "forwarding" not in path.parts:  # the old names of commands
                folders.setdefault(path.parent, []).append(path)
    return OPENING + "".join(_section(folder, folders[folder]) for folder in sorted(folders))


def _section(folder: Path, files: list[Path]) -> str:
    """Return a heading, what the folder's own docstring says, and a row for each module."""
    heading = f"\n## {folder.relative_to(ROOT).as_posix()}\n\n"
    own = folder / "__init__.py"
    about = f"{_first_line(own)}\n\n" if own.is_file() and _first_line(own) else ""
    rows = "".join(f"| `{path.stem}` | {_first_line(path)} |\n" for path in files if path != own)
    return heading + about + (f"| file | what it is |\n|---|---|\n{rows}" if rows else "")


def _first_line(path: Path) -> str:
    """Return the first line of a module's docstring, fit for a cell of a table."""
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return told.split("\n", 1)[0].replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
