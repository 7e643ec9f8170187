"""Measure a baseline's memory and time over lengths, as Figure 1 of the ViLaMP paper has them.

niah bench NAME                      7B with random weights on a GPU, 64 to 10,000 frames
niah bench NAME --cap-gib 79         the same in the memory of a simulated A100
niah bench NAME --size tiny          on a CPU, in seconds
niah bench --draw results/bench      figure1 (PNG, SVG, CSV, caption) from all results there

A baseline takes part by having a module `baselines.NAME.bench` with `build(size, device)`
returning a `niah.adapters.bench.Subject`; none is imported before it is named. What is measured
already is not measured again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from baselines.parity import module, names
from niah.adapters import bench
from niah.adapters.bench import Job, Measurement
from niah.cli.guard import guarded
from niah.types import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, measure or draw, and return the exit code: 2 where nothing could be done."""
    parser = argparse.ArgumentParser(
        prog="niah bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", help=f"one of {', '.join(names('bench'))}")
    parser.add_argument("--draw", type=Path, metavar="FOLDER", help="draw Figure 1 from the results of a folder")
    bench.add_options(parser)
    options = parser.parse_args(arguments)
    return guarded(lambda: _draw(options.draw) if options.draw is not None else _measure(options))


def _measure(options: argparse.Namespace) -> int:
    """Measure one length in this process, or all of them in processes of their own."""
    if options.name is None:
        raise UserError(f"name a baseline to measure: {', '.join(names('bench'))}")
    build = module(options.name, "bench").build
    if options.one is not None:
        measured = bench.measure(Job(**json.loads(options.one)), build)
        sys.stdout.write(json.dumps(dataclasses.asdict(measured)) + "\n")
        return 0
    command = [sys.executable, "-m", "baselines.bench", options.name, "--one"]
    file = options.out / f"{options.name}-{options.size}.jsonl"
    bench.measure_all(bench.plan_jobs(options, options.name), command, file, _tell, options.timeout)
    sys.stdout.write(f"results: {file}\n")
    return 0


def _tell(measured: Measurement) -> None:
    sys.stdout.write(bench.format_measurement(measured) + "\n")
    sys.stdout.flush()


def _draw(folder: Path) -> int:
    """Draw every result of a folder beside the published points."""
    from baselines.bench_figure import draw

    for file in draw(folder):
        sys.stdout.write(f"{file}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
