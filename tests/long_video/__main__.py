"""Ask a tiny random Qwen3-VL about 10,000 frames, at 128 pixels and at its own budget, and print what that takes.

python -m tests.long_video

Not part of CI: it takes minutes on a CPU, and some gigabytes. The frames are 384 x 384 grey ones in a video file, the
run is that of `niah run` in a worker of its own, and the table is that of `niah table`, with its warning.
"""

from __future__ import annotations

import json
import sys
import tempfile
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import numpy as np

from niah.cli.tree import main as niah
from niah.media.writer import write_mp4
from niah.suite.config import Haystacks, Needles, Suite
from niah.suite.folder import GeneratedSuite, write_suite
from niah.types import Case, Placement, Sampling, Source, Span
from tests.helpers import tiny_huggingface

LENGTHS = (200, 10_000)
CLIP, SIDE = 10, 384
POSITIONS = 262_144  # of Qwen3-VL
WAYS = {"128 pixels": {"frame_pixels": 128 * 128}, "own budget": {}}
GIB = 2**30


def main() -> int:
    """Write the checkpoint and the suite, ask in both ways, print a row for each answer and the table's warnings."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        checkpoint = tiny_huggingface.qwen3_vl(folder / "checkpoint", POSITIONS)
        suite = _suite(folder)
        rows = [
            "| shown at | frames | frame | tokens | tokens a frame | times | peak host memory | seconds |",
            "|" + "---|" * 8,
        ]
        for name, settings in WAYS.items():
            out = folder / name.replace(" ", "-")
            given = ",".join(f"{key}={value}" for key, value in settings.items())
            arguments = f"pretrained={checkpoint},max_new_tokens=1" + (f",{given}" if given else "")
            code = niah(
                ["run", "--model", "huggingface", "--model_args", arguments, "--suite", str(suite), "--no_figures"]
                + ["--output_path", str(out), "--device", "cpu", "--timeout", "3600"]
            )
            if code:
                return code
            rows += [_row(name, json.loads(line)) for line in (out / "records.jsonl").read_text().splitlines()]
            niah(["table", str(out)])
        print("\n".join(rows))  # noqa: T201
    return 0


def _row(name: str, record: dict) -> str:
    """Return a line of the table."""
    measured, height = record["measured"], record["frame_size"]
    values = [
        name, f"{record['frames_used']:,}", "x".join(map(str, height)), f"{record['language_tokens']:,}",
        record["settings"]["tokens_per_frame"], record["frame_times"], f"{measured['peak_host_bytes'] / GIB:.2f} GiB",
        round(sum(measured["seconds"].values())),
    ]  # fmt: skip
    return "| " + " | ".join(map(str, values)) + " |"


def _suite(folder: Path) -> Path:
    """Write a bright clip, dark footage, and a suite that hides one in the other at each length."""
    sources = {
        "clip": _source(folder / "clip.mp4", [220] * CLIP),
        "footage": _source(folder / "footage.mp4", [20 + number % 60 for number in range(max(LENGTHS))]),
    }
    suite = Suite(
        version=1, name="long", lengths=LENGTHS, depths=(0.5,), sampling=Sampling("1", SIDE, SIDE),
        haystacks=Haystacks(folder="."), needles=Needles(file="needles.jsonl"),
    )  # fmt: skip
    write_suite(GeneratedSuite(suite, tuple(_case(length) for length in LENGTHS), sources), folder / "suite")
    return folder / "suite"


def _source(path: Path, greys: list[int]) -> Source:
    """Encode a grey video at one frame a second."""
    write_mp4(path, (np.full((SIDE, SIDE, 3), grey, np.uint8) for grey in greys), Fraction(1))
    digest = sha256(path.read_bytes()).hexdigest()
    return Source(path.stem, f"sha256:{digest}", str(path), digest, len(greys), float(len(greys)))


def _case(length: int) -> Case:
    """Return the case in which the clip lies in the middle."""
    start = (length - CLIP) // 2
    return Case(
        id=f"clip.full.{length}", suite="long", version=1, condition="full", needle="clip", needle_source="id-clip",
        haystack="footage", length=length, needles=(Placement("clip", start, start + CLIP),),
        timeline=(Span("footage", 0, start), Span("clip", 0, CLIP), Span("footage", start, length - CLIP)), fps=1.0,
        question="How bright is the bright clip?", options=("150", "220"), answer="B", type="grey",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
