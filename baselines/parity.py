"""Compare a baseline with numbers recorded from its release.

niah parity NAME FOLDER     0: everything agrees, 1: something differs, 2: it could not be compared

FOLDER is laid out as the release's reference: a tiny checkpoint and golden files. A baseline
takes part by having a module `baselines.NAME.parity` with `run(folder) -> int`; none is
imported before it is named.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import baselines
from niah.cli.guard import guarded
from niah.settings import unknown_name
from niah.types import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, compare, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="niah parity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help=f"one of {', '.join(names('parity'))}")
    parser.add_argument("folder", type=Path, help="a folder of golden files and a tiny checkpoint")
    options = parser.parse_args(arguments)
    return guarded(lambda: _compare(options.name, options.folder))


def _compare(name: str, folder: Path) -> int:
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r}: wanted a reference folder with golden files")
    return module(name, "parity").run(folder)


def names(part: str) -> list[str]:
    """Return the baselines that have a module `part`, without importing them."""
    files = [file for folder in baselines.__path__ for file in Path(folder).glob(f"*/{part}.py")]
    return sorted(file.parent.name for file in files)


def module(name: str, part: str) -> ModuleType:
    """Import `baselines.NAME.PART`. Raises UserError naming the baselines that have it."""
    known = names(part)
    if name not in known:
        raise UserError(unknown_name("baseline", name, known))
    return importlib.import_module(f"baselines.{name}.{part}")


if __name__ == "__main__":
    sys.exit(main())
