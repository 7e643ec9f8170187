"""`niah fit --model NAME --frames N --memory GIB`: say whether a model fits into a card's memory, without a card."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from niah.analysis.traced import (
    CONTEXT_BYTES,
    GIB,
    MARGINS,
    MemoryVerdict,
    TracedCosts,
    judge,
    longest_fitting,
    read_traced,
)
from niah.cli.command import Command
from niah.cli.plugins import TRACED, names, traced_files
from niah.exit_codes import DIFFERS, DONE
from niah.settings import unknown_name
from niah.terminal import to_stdout
from niah.types import UserError

EXAMPLES = f"""\
examples:
  niah fit --model vilamp --frames 10000 --memory 80
      streamed, as this project runs it; 80 is what the card is called by, in GiB
  niah fit --model llama_vid --frames 8192 --memory 80 --execution as_released
      as its release batches and keeps things
  niah fit --model mine --traced results/bench/mine-7b-traced.csv --frames 2000 --memory 24
      from a trace of your own: niah bench NAME --traced

The answer comes from stored traces of the released 7B models in 16 bit, weights included, one video at a time, on the
straight line between two traced lengths. It is a count of live bytes that no card has checked yet. Margin added:
{MARGINS["streamed"]:.0%} (streamed) or {MARGINS["as_released"]:.0%} (as released, whose large tensors leave gaps), and
{CONTEXT_BYTES / GIB:.1f} GiB for the driver's context.

exit codes: 0 it fits, 1 it does not or the margin leaves it open, 2 a mistake, or no stored fit covers the length
"""
WORDS = {True: "fits", False: "does not fit", None: "too close to say"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--model", required=True, metavar="NAME", help=f"one of {', '.join(names(TRACED))}")
    parser.add_argument("--frames", type=int, required=True, metavar="N", help="frames shown to the model")
    parser.add_argument("--memory", type=float, required=True, metavar="GIB", help="the card's memory, 80 for 80 GB")
    help_text = "how it is run: by this project, or as its release does"
    parser.add_argument("--execution", choices=tuple(MARGINS), default="streamed", help=help_text)
    help_text = "a file of niah bench --traced (default: the one that ships with the model)"
    parser.add_argument("--traced", type=Path, metavar="FILE", help=help_text)


def run(options: argparse.Namespace) -> int:
    """Print the verdict; exit code 0 where it certainly fits."""
    if not 0 < options.memory < float("inf"):
        raise UserError(f"--memory is a card's size in GiB, 80 for example, got {options.memory:g}")
    if options.frames < 1:
        raise UserError(f"--frames is a number from 1 up, got {options.frames}")
    rows = stored_costs(options.model, options.execution, options.traced)
    verdict = judge(rows, options.frames, options.memory * GIB)
    to_stdout(f"{describe(rows[0], options.frames, verdict)}: {WORDS[verdict.fits]} in {options.memory:g} GiB\n")
    if verdict.fits is not True:
        longest = longest_fitting(rows, options.memory * GIB)
        shortest = min(row.frames for row in rows)
        found = f"up to {longest:,} frames do" if longest else f"not even {shortest:,} frames do, the fewest traced"
        to_stdout(f"with certainty {found}\n")
    return DONE if verdict.fits else DIFFERS


def stored_costs(model: str, execution: str, file: Path | None = None) -> list[TracedCosts]:
    """Return the 7B rows of one model and execution. Raises UserError where nothing is stored of them.

    Args:
        model: the model's name.
        execution: one of MARGINS.
        file: where they lie; None for the file that ships with the model.
    """
    files = [file] if file is not None else traced_files(model)
    if not files:
        raise UserError(
            f"{unknown_name('model', model, names(TRACED))} What another model takes, niah run --limit 2 measures"
        )
    rows = [row for place in files for row in read_traced(place)]
    found = [row for row in rows if (row.model, row.execution, row.size) == (model, execution, "7b")]
    if not found:
        traced = ", ".join(sorted({f"{row.model} {row.execution} {row.size}" for row in rows})) or "nothing"
        raise UserError(f"{files[0].name} holds no 7b {execution} trace of {model}, but {traced}")
    return found


def describe(row: TracedCosts, frames: int, verdict: MemoryVerdict) -> str:
    """Return what was found, for a person to read."""
    return (
        f"{row.model} 7B {row.execution}, {frames:,} frames: {verdict.traced_bytes / GIB:.1f} GiB traced "
        f"({row.weight_bytes / GIB:.1f} of weights), {verdict.needed_bytes / GIB:.1f} with a margin of "
        f"{MARGINS[row.execution]:.0%} and {CONTEXT_BYTES / GIB:.1f} GiB"
    )


def planned_memory(model: str, frames: Sequence[int]) -> str | None:
    """Return a line for `niah run --dry_run` on the longest case; None for a model of which nothing is stored."""
    if not frames or not traced_files(model):
        return None
    longest = max(frames)
    rows = stored_costs(model, "streamed")
    longest_known = max(row.frames for row in rows)
    if longest > longest_known:
        return f"memory         not known for {longest:,} frames: {longest_known:,} were traced (niah fit)"
    shown = max(longest, min(row.frames for row in rows))
    verdict = judge(rows, shown, float("inf"))
    return f"memory         {describe(rows[0], shown, verdict)}; niah fit compares it with a card"


COMMAND = Command(run, EXAMPLES, add_arguments)
