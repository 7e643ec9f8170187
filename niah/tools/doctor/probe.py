"""Try one thing and print the result as JSON lines: `python -m niah.tools.doctor.probe NAME ...`.

A broken library may crash its interpreter, so each probe has one of its own.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

GREY_LEVELS = (40, 120, 200)  # one for each frame of the clip
CODECS = ("h264", "hevc", "vp9", "av1", "vp8", "mpeg4", "mpeg2video", "vc1")


def imports(*modules: str) -> None:
    """Import modules one by one; each is reported first, so that the one that crashes the interpreter is known."""
    for module in modules:
        _report({"begins": module})
        try:
            importlib.import_module(module)
        except Exception as error:  # a library may raise anything when it is imported
            _report({"fails": module, "why": _first_line(error)})


def decoder(name: str) -> None:
    """Write a clip of three frames and read it back."""
    from fractions import Fraction

    import numpy as np

    from niah.media.decoders.base import load_decoder
    from niah.media.scan import scan
    from niah.media.writer import write_mp4
    from niah.types import Sampling

    with tempfile.TemporaryDirectory() as folder:
        os.environ["VIDEONIAH_CACHE"] = folder
        path = Path(folder) / "clip.mp4"
        write_mp4(path, (np.full((48, 64, 3), level, np.uint8) for level in GREY_LEVELS), Fraction(1))
        reader = load_decoder(name)
        found = [float(frame.mean()) for frame in reader.read(scan(path), (0, 1, 2), Sampling("1", 64, 48))]
        reader.close()
    wrong = [round(grey) for grey, level in zip(found, GREY_LEVELS) if abs(grey - level) > 8]  # noqa: B905  (old Pythons)
    if wrong or len(found) != len(GREY_LEVELS):
        raise ValueError(f"frames of grey {GREY_LEVELS} came back as {[round(grey) for grey in found]}")
    _report({"ok": f"{reader.name}: three frames written and read back"})


def codecs() -> None:
    """Report which codecs PyAV's FFmpeg has."""
    import av

    _report({"missing": [name for name in CODECS if name not in av.codecs_available], "av": av.__version__})
    av.Codec("libx264", "w")
    _report({"writes": "libx264"})


def torch() -> None:
    """Report torch's version and devices, and compute on the first device."""
    import torch

    name = "cpu"
    if torch.cuda.is_available():
        name = "cuda"
    elif torch.backends.mps.is_available():
        name = "mps"
    ones = torch.ones(64, 64, device=name)
    if (ones @ ones).sum().item() != 64**3:
        raise ValueError(f"a product on {name} came out wrong")
    _report(
        {
            "torch": torch.__version__,
            "cuda": torch.version.cuda or torch.version.hip,
            "device": name,
            "devices": [
                f"{torch.cuda.get_device_name(i)}, {torch.cuda.get_device_properties(i).total_memory / 2**30:.0f} GiB"
                for i in range(torch.cuda.device_count() if name == "cuda" else 0)
            ],
        }
    )


def hub(timeout: str = "15") -> None:
    """Request the front page of the hub."""
    import urllib.request

    from huggingface_hub.constants import ENDPOINT

    with urllib.request.urlopen(urllib.request.Request(ENDPOINT, method="HEAD"), timeout=float(timeout)) as answer:
        _report({"ok": f"{ENDPOINT} answers {answer.status}"})


PROBES = {probe.__name__: probe for probe in (imports, decoder, codecs, torch, hub)}


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    if lines and type(error).__name__ == "UserError":  # of this project: its message is enough
        return lines[0]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _report(line: dict) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        PROBES[sys.argv[1]](*sys.argv[2:])
    except Exception as error:  # every failure is a result
        _report({"error": _first_line(error)})
