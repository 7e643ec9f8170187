"""`niah parity NAME FOLDER`: compare a model with numbers recorded from its release."""

from __future__ import annotations

import argparse
from pathlib import Path

from niah.cli.command import Command
from niah.cli.plugins import check_accepts, load, names
from niah.types import UserError

GROUP = "videoniah.parity"  # NAME -> function(folder, **flags) -> exit code
EXAMPLES = """\
examples:
  niah parity vilamp tests/reference/vilamp/tiny
      largest relative error of every recorded tensor, keyframe and token id; files used; what was NOT compared
  niah parity video_xl FOLDER
      a folder like that release's reference: a tiny checkpoint and golden files

exit codes: 0 everything agrees, 1 something differs, 2 it could not be compared
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(names(GROUP))}")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="recorded numbers, and their tiny checkpoint")
    parser.add_argument("--device", help="for models that take it (default: cpu, where the numbers were recorded)")
    help_text = "relative error allowed, for models that take it (default: the model's own, 2e-5 to 1e-4)"
    parser.add_argument("--tolerance", type=float, help=help_text)


def run(options: argparse.Namespace) -> int:
    """Compare, and print a table."""
    compare = load(GROUP, options.name)
    if not options.folder.is_dir():
        raise UserError(f"no folder {str(options.folder)!r}: wanted a reference folder with golden files")
    flags = {"device": options.device, "tolerance": options.tolerance}
    given = {flag: value for flag, value in flags.items() if value is not None}
    check_accepts(compare, given, options.name)
    return compare(options.folder, **given)


COMMAND = Command(run, EXAMPLES, add_arguments)
