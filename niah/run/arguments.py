"""The command line of `niah run`: flags as lm-eval names them, and a --help that teaches."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from niah.run.config import RunConfig, resolve
from niah.run.registry import parse_model_args

EXAMPLES = """\
examples:
  niah run --model vilamp
      the default suite: a heatmap over 2K-10K frames into runs/default-vilamp
  niah run --model seeker --model_args frames=8 --suite smoke
      another model with settings of its own, on the smallest suite
  niah run --suite my/suite.yaml --model mymodule:load
      your own videos, your own model: a function load(**settings) in mymodule.py
  niah run --lengths 2000,4000 --conditions full --limit 50 --dry_run
      what that would cost, before it runs
  niah run --num_workers 2
      two worker processes, each with the model loaded once
  niah run --engine ray:auto --device cuda
      one worker for each GPU of the Ray cluster this machine belongs to
  niah run --shard 2/4
      the second quarter of the cases, for four machines; niah merge joins them
  niah run --config configs/models/mine.yaml --fresh
      settings from a file (the same names; the command line wins), earlier records set aside

The same command again goes on where the last one ended; cases that ended in an error
or a timeout are asked again. Ctrl-C at any time loses nothing.

exit codes: 0 every record is ok or oom, 2 a mistake in the command or its files,
3 some record is an error or a timeout or the disk is full, 130 after Ctrl-C
"""


def parse(arguments: Sequence[str]) -> RunConfig:
    """Return the settings of a command line. Raises UserError; argparse itself ends with exit code 2."""
    given = vars(_parser().parse_args(arguments))
    file = given.pop("config", None)
    return resolve(given, file)


def _parser() -> argparse.ArgumentParser:
    """Return the parser; only flags that were given leave a value, so that a file's settings show through."""
    parser = argparse.ArgumentParser(
        prog="niah run",
        description="Ask a model about videos in which a clip was hidden, and map what it answers.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    _model(parser.add_argument_group("which model"))
    _cases(parser.add_argument_group("which cases"))
    _limits(parser.add_argument_group("limits for one worker"))
    _workers(parser.add_argument_group("how many workers, and where"))
    _output(parser.add_argument_group("where it goes"))
    return parser


def _model(group: Any) -> None:
    group.add_argument("--model", help="name of an adapter, or module:function (default: vilamp)")
    group.add_argument("--model_args", type=_settings, metavar="k=v,k=v", help="settings for the adapter's load()")
    group.add_argument("--device", help="passed to load() as device= if given")
    group.add_argument("--seed", type=int, help="passed to load() as seed= if given")
    group.add_argument("--decoder", help="pyav, decord or torchcodec (default: pyav)")
    group.add_argument("--python", metavar="PATH", help="interpreter of the worker, for a model with its own venv")
    group.add_argument("--in_process", action="store_true", help="no worker: for a debugger; limits do not hold")


def _cases(group: Any) -> None:
    group.add_argument("--suite", help="a name, a .yaml file, or a folder that niah.generate wrote (default: default)")
    group.add_argument("--lengths", type=_list(int), metavar="N,N", help="these lengths instead, in frames")
    group.add_argument("--depths", type=_list(float), metavar="D,D", help="these depths instead, 0 to 1")
    group.add_argument("--conditions", type=_list(str), metavar="C,C", help="only these, for instance full,blind")
    group.add_argument("--limit", type=float, metavar="N", help="the first N cases, or a share of them if below 1")
    group.add_argument("--shard", metavar="i/N", help="the i-th of N blocks of the cases")
    group.add_argument("--dry_run", action="store_true", help="print cases, frames, disk and time, and stop")


def _limits(group: Any) -> None:
    group.add_argument("--timeout", type=float, metavar="SECONDS", help="for one case (default: 1800)")
    group.add_argument("--load_timeout", type=float, metavar="SECONDS", help="to find a place and load (default: 3600)")
    group.add_argument("--grace", type=float, metavar="SECONDS", help="for what should take a moment (default: 10)")
    group.add_argument("--stall_timeout", type=float, metavar="SECONDS", help="for a file to give a byte (default: 60)")
    group.add_argument("--memory_limit_gib", type=float, metavar="GIB", help="host memory of the worker; past it: oom")


def _workers(group: Any) -> None:
    group.add_argument("--engine", metavar="NAME", help="local, ray or ray:ADDRESS, as ray.init takes it: ray:auto")
    group.add_argument("--num_workers", type=int, metavar="N", help="default: the GPUs of a Ray cluster, else 1")
    group.add_argument("--gpus_per_worker", type=float, metavar="N", help="of a Ray cluster (default: 1 if it has any)")


def _output(group: Any) -> None:
    group.add_argument("--output_path", metavar="FOLDER", help="default: runs/SUITE-MODEL")
    group.add_argument("--config", metavar="FILE", help="YAML with any of these settings")
    ways = group.add_mutually_exclusive_group()
    ways.add_argument("--resume", dest="fresh", action="store_false", help="go on with the records there (default)")
    ways.add_argument("--fresh", action="store_true", help="keep earlier records as records.jsonl.1 and begin anew")
    group.add_argument("--no_figures", dest="figures", action="store_false", help="draw no figures at the end")


def _settings(text: str) -> dict[str, Any]:
    """Read --model_args; a UserError passes through argparse to the command's own message."""
    return parse_model_args(text)


def _list(kind: type) -> Callable[[str], tuple]:
    """Return a reader of comma-separated values."""

    def read(text: str) -> tuple:
        return tuple(kind(part) for part in text.replace(" ", "").split(",") if part)

    read.__name__ = f"comma-separated {kind.__name__} list"  # argparse says "invalid ... value"
    return read
