"""Build, without a network, an interpreter of its own for a fake published repository."""

from __future__ import annotations

import venv
from importlib.metadata import distribution
from pathlib import Path

OLD = "4.31.0"
NEEDED = ("numpy", "av")  # what a worker needs besides Python


def build(folder: Path) -> Path:
    """Make a virtual environment with numpy, av and an old transformers, and return its interpreter.

    numpy and av are linked from here; transformers is a stub that knows its version.
    """
    venv.EnvBuilder(symlinks=True).create(folder)
    site = next(folder.glob("lib/python*/site-packages"))
    for name in NEEDED:
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or () if file.parts[0] != ".."}:
            (site / top).symlink_to(Path(str(found.locate_file(top))).resolve())
    write_stub(site)
    return folder / "bin" / "python"


def write_stub(site: Path) -> None:
    """Install the stub of an old transformers into a folder of packages."""
    package, about = site / "transformers", site / f"transformers-{OLD}.dist-info"
    for made in (package, about):
        made.mkdir(parents=True)
    (package / "__init__.py").write_text(f"__version__ = {OLD!r}\n")
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: transformers\nVersion: {OLD}\n")
