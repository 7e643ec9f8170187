"""Compare every recorded number of a reference folder with ours.

FOLDER holds a checkpoint, inputs.safetensors, golden_*.safetensors and runs.json. Case files in it or above it
(selection, gap filling, pooling, preprocessing, sampling, prompts, subtitles, names and shapes of the 7B model)
are compared too. Prints tensor -> largest relative error, the files used, and what was NOT compared. Exit code 0;
1 above 2e-5 and on any differing keyframe or token id; 2 where the folder cannot be read.
"""

from __future__ import annotations

from pathlib import Path

from niah.adapters.options import check_device
from niah.adapters.parity import Parity
from niah.types import UserError
from vilamp.release.parity.cases import compare_cases
from vilamp.release.parity.compare import compare_runs

TOLERANCE = 2e-5


def compare(folder: Path, device: str = "cpu", tolerance: float = TOLERANCE) -> int:
    """Compare everything a folder holds, print it, and return 0 or 1. Raises UserError where it cannot be read."""
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r}: wanted one laid out like tests/reference/vilamp/tiny")
    if not tolerance >= 0:
        raise UserError(f"--tolerance is a number from 0 up, got {tolerance}")
    parity = Parity(tolerance)
    compare_cases(parity, folder)
    compare_runs(parity, folder, check_device(device))
    return parity.report()
