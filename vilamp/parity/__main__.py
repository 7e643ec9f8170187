"""python -m vilamp.parity FOLDER: every recorded number of a reference folder, compared.

FOLDER holds a checkpoint, inputs.safetensors, golden_*.safetensors and runs.json; case files beside or
above it (selection, gap filling, pooling, preprocessing, prompts) are compared too. Prints tensor ->
largest relative error. Exit code 0, or 1 above 2e-5 and on any differing keyframe or token id, or 2 where
the folder cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from niah.adapters.parity import Parity
from niah.types import UserError
from vilamp.parity.cases import compare_cases
from vilamp.parity.runs import compare_runs

TOLERANCE = 2e-5


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m vilamp.parity", description="Compare with the release's numbers.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="laid out like the reference folder `tiny`")
    parser.add_argument("--device", default="cpu", help="default: cpu, where the numbers were recorded")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help=f"relative; default {TOLERANCE:g}")
    options = parser.parse_args(arguments)
    parity = Parity(options.tolerance)
    try:
        compare_cases(parity, options.folder)
        compare_runs(parity, options.folder, options.device)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return parity.report()


if __name__ == "__main__":
    sys.exit(main())
