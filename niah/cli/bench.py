"""`niah bench NAME`: measure a model's memory and time over lengths, with random weights."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from functools import partial
from pathlib import Path

from niah.adapters import bench
from niah.adapters.bench import A100_GIB, EXECUTIONS, LENGTHS, SIZES, Job, Measurement
from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_output, comma_separated
from niah.cli.plugins import check_accepts, load, names
from niah.terminal import to_stdout
from niah.types import UserError

GROUP = "videoniah.bench"  # NAME -> build(size, device, **flags), or a niah.adapters.bench.Bench
FIGURES = "videoniah.bench_figures"  # NAME -> function(folder) -> files written
EXAMPLES = f"""\
examples:
  niah bench vilamp
      the 7B model with random weights on a GPU, 64 to 10,000 frames
  niah bench vilamp --cap_gib {A100_GIB:g}
      the same, in as much memory as an A100 has
  niah bench video_xl --size tiny
      on a CPU, in seconds
  niah bench vilamp --compiled
      with the blocks of its vision tower compiled; the results have a name of their own
  niah bench vilamp --traced
      memory and FLOPs of the 7B model without a GPU: its own code on tensors that have a shape and no numbers
  niah bench --draw results/bench
      Figure 1 of the ViLaMP paper (PNG, SVG, CSV, caption) from all results there

Memory and time do not depend on the weights' values. Every length runs in a process of its own, which appends a line
to NAME-SIZE.jsonl; lengths that have a line are not measured again. --traced writes NAME-SIZE-traced.csv likewise;
niah paper figure1 draws it, and niah fit answers from such files.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("name", nargs="?", metavar="NAME", help=f"one of {', '.join(names(GROUP))}")
    parser.add_argument("--draw", type=Path, metavar="FOLDER", help="measure nothing; draw the results in a folder")
    parser.add_argument("--size", choices=SIZES, default=SIZES[0], help="tiny runs on a CPU in seconds")
    parser.add_argument("--execution", choices=EXECUTIONS, action="append", help="repeatable (default: all)")
    help_text = f"frames, with commas or spaces (default: {','.join(map(str, LENGTHS))}; tiny: 16,48)"
    parser.add_argument("--lengths", type=comma_separated(int), nargs="+", metavar="N,N", help=help_text)
    parser.add_argument("--device", help="default: cuda for 7b, cpu for tiny")
    help_text = f"limit of device memory; {A100_GIB:g} simulates an A100"
    parser.add_argument("--cap_gib", type=float, metavar="GIB", help=help_text)
    add_output(parser, "folder of the results", default=Path("results/bench"))
    parser.add_argument("--out", dest="output", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--timeout", type=float, default=3600.0, metavar="SECONDS", help="for one length")
    help_text = "compile parts of the model, for models that take it"
    parser.add_argument("--compiled", action="store_true", help=help_text)
    help_text = "count memory and FLOPs under fake tensors: no GPU, no weights, no seconds"
    parser.add_argument("--traced", action="store_true", help=help_text)
    help_text = "run beside a source that sleeps as long as the model computes, and print how much of it is hidden"
    parser.add_argument("--overlap", action="store_true", help=help_text)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # one job as JSON, in a process of its own


def run(options: argparse.Namespace) -> int:
    """Measure one length in this process, or all of them in processes of their own; or draw."""
    if options.draw is not None:
        return _draw(options.draw)
    if options.name is None:
        raise UserError(f"name a model to measure: {', '.join(names(GROUP))}")
    settings = {"compiled": True} if options.compiled else {}
    found = load(GROUP, options.name)
    if not isinstance(found, bench.Bench):
        found = bench.Bench(found)
    check_accepts(found.build, settings, options.name)
    if options.one is not None:
        measured = bench.measure(Job(**json.loads(options.one)), partial(found.build, **settings))
        to_stdout(json.dumps(dataclasses.asdict(measured)) + "\n")
        return 0
    if options.overlap:
        return _overlap(options, partial(found.build, **settings))
    return _trace_all(options, found) if options.traced else _measure_all(options, found)


def _overlap(options: argparse.Namespace, build: bench.Build) -> int:
    """Print how much of a source's time the model hides, at each length, in this process."""
    from niah.adapters.overlap import overlap

    jobs = bench.plan_jobs(options.name, options.size, ["streamed"], _lengths(options), options.device, options.cap_gib)
    model = build(jobs[0].size, jobs[0].device)
    for job in jobs:
        to_stdout(f"{options.name} {options.size}, {overlap(model, job.frames)}\n")
    return 0


def _trace_all(options: argparse.Namespace, found: bench.Bench) -> int:
    """Trace what the flags ask for, in this process, and print where the results are."""
    if options.compiled or options.cap_gib is not None:
        raise UserError("--traced takes neither --compiled nor --cap_gib: leave them out")
    from niah.adapters.traced_bench import format_traced, trace_all  # here: it loads transformers

    device = options.device or "cuda"
    jobs = bench.jobs_of(options.name, options.size, options.execution, _lengths(options), device, None)
    file = options.output / f"{options.name}-{options.size}-traced.csv"
    trace_all(jobs, found.build, file, lambda costs: _say(format_traced(costs)))
    to_stdout(f"results: {file}\n")
    return 0


def _lengths(options: argparse.Namespace) -> list[int]:
    """Return the lengths that were asked for."""
    return [length for part in options.lengths or () for length in part]


def _measure_all(options: argparse.Namespace, found: bench.Bench) -> int:
    """Measure what the flags ask for, and print where the results are."""
    name = f"{options.name}-compiled" if options.compiled else options.name
    jobs = bench.plan_jobs(name, options.size, options.execution, _lengths(options), options.device, options.cap_gib)
    if found.cached:
        jobs += [dataclasses.replace(job, execution="cached") for job in jobs if job.execution == "streamed"]
    file = options.output / f"{name}-{options.size}.jsonl"
    flags = ["--compiled"] if options.compiled else []
    command = [sys.executable, "-m", "niah", "bench", options.name, *flags, "--one"]
    bench.measure_all(jobs, command, file, _print, options.timeout)
    written = [file]
    if found.write_table is not None:
        written.append(file.with_suffix(".csv"))
        found.write_table(bench.read(file), written[-1])
    to_stdout(f"results: {' and '.join(map(str, written))}\n")
    return 0


def _print(measured: Measurement) -> None:
    """Print a result as soon as it is known."""
    _say(bench.format_measurement(measured))


def _say(line: str) -> None:
    """Print a line at once."""
    to_stdout(line + "\n")
    sys.stdout.flush()


def _draw(folder: Path) -> int:
    """Draw every result of a folder beside the published points."""
    for name in names(FIGURES):
        for file in load(FIGURES, name)(folder):
            to_stdout(f"{file}\n")
    return 0


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED)
