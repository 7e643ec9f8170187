"""Load checkpoints of true width with two language layers, let them answer a few frames, and print what that takes.

python -m tests.true_width
python -m tests.true_width llama_vid --dtype bfloat16 --frames 8

Not part of CI: it writes 2 to 4 GB for each model, one after the other, and takes minutes. The last column is to be at
most 1.1: anonymous memory while loading, beside the weights at 16 bits.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.true_width.checkpoints import NAMES, numbers, write

GIB = 2**30


def main() -> None:
    """Print a row of a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--dtype", default="bfloat16", help="what weights are converted to; they are stored in float16")
    parser.add_argument("--frames", type=int, default=4, help="frames of the video that is asked about")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where checkpoints are written (default: a temporary one)"
    )
    options = parser.parse_args()
    print("| model | weights | peak while loading | after it | peak while answering | seconds | peak / weights |")  # noqa: T201
    print("|---|---|---|---|---|---|---|")  # noqa: T201
    for name in options.names:
        with tempfile.TemporaryDirectory(dir=options.folder) as place:
            folder = Path(place) / name
            write(name, folder)
            line = [sys.executable, "-m", "tests.true_width.measure", name, str(folder)]
            done = subprocess.run(
                [*line, str(options.frames), options.dtype], stdout=subprocess.PIPE, text=True, check=True
            )
        print(row(name, json.loads(done.stdout.splitlines()[-1])), flush=True)  # noqa: T201


def row(name: str, found: dict[str, float]) -> str:
    """Return a row of the table."""
    weights = 2 * numbers(name)
    load, after, answer = (found[key] - found["before_bytes"] for key in ("load_bytes", "loaded_bytes", "answer_bytes"))
    sizes = " | ".join(f"{size / GIB:.2f} GiB" for size in (weights, load, after, answer))
    seconds = f"{found['load_seconds']:.0f} + {found['answer_seconds']:.0f}"
    return f"| `{name}` | {sizes} | {seconds} | {load / weights:.2f} |"


if __name__ == "__main__":
    main()
