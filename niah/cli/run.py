"""`niah run`: ask a model every case of a suite. Flags have the names that lm-eval gives them."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_no_figures, add_suite, comma_separated
from niah.cli.plugins import names
from niah.cli.run_suite import run_suite, run_sweep
from niah.run.config import RunConfig, resolve
from niah.run.registry import GROUP, parse_model_args
from niah.run.sweep import parse_sweep

EXAMPLES = """\
examples:
  niah run --model vilamp
      the default suite: a heatmap over 2K-10K frames into runs/default-vilamp
  niah run --model seeker --model_args frames=8 --suite smoke
      another model, with settings, on the smallest suite
  niah run --suite my/suite.yaml --model mymodule:load
      your own videos, your own model: a function load(**settings) in mymodule.py
  niah run --model vilamp --model_args pretrained=FOLDER --preset official --suite open-native --device cuda
      a released checkpoint, asked as the scripts of its release ask
  niah run --model huggingface --model_args pretrained=FOLDER --sweep max_frames=32/256/2048,frame_pixels=12544/50176
      a run for each combination, and accuracy over tokens and seconds, drawn
  niah run --lengths 2000,4000 --conditions full --limit 50 --dry_run
      print what a run would cost, and stop
  niah run --num_workers 2
      two worker processes, each with the model loaded once
  niah run --engine ray:auto --device cuda
      one worker for each GPU of the Ray cluster this machine belongs to
  niah run --shard 2/4
      the second quarter of the cases, for four machines; niah merge joins them
  niah run --config configs/models/mine.yaml --fresh
      settings from a file (the command line takes precedence); earlier records are set aside

The same command resumes a run; cases that ended in an error or a timeout are asked again. Ctrl-C loses nothing. A model
that fails with the same error 20 times in a row stops the run (--stop_after_errors). A run
is not resumed if the model's source, checkpoint or libraries have changed, as its answers would be mixed.

exit codes: 0 every record is ok or oom, 2 a mistake in the command or its files,
3 some record is an error or a timeout or the disk is full, 130 after Ctrl-C
"""


DEFAULTS = {field.name: field.default for field in dataclasses.fields(RunConfig)}


def run(options: argparse.Namespace) -> int:
    """Run what the command line and its --config name, or each setting of its --sweep."""
    sweep = vars(options).get("sweep")
    if sweep is not None:
        return run_sweep(config_of(options), sweep, options.arguments)
    return run_suite(config_of(options), options.arguments)


def config_of(options: argparse.Namespace) -> RunConfig:
    """Return the settings of a command line, over those of its --config file. Raises UserError."""
    given = {name: value for name, value in vars(options).items() if name in DEFAULTS}
    return resolve(given, vars(options).get("config"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags; one that is not given leaves no value, so that the setting of a --config file applies."""
    parser.argument_default = argparse.SUPPRESS
    _add_model(parser.add_argument_group("which model"))
    _add_cases(parser.add_argument_group("which cases"))
    _add_limits(parser.add_argument_group("limits for one worker"))
    _add_workers(parser.add_argument_group("how many workers, and where"))
    _add_output(parser.add_argument_group("where it goes"))


def _add(group: Any, flag: str, help_text: str, **settings: Any) -> None:
    """Add a flag with a value; its help text ends with the default, which is that of the field of RunConfig."""
    default = DEFAULTS[flag[2:]]
    shown = "none" if default in (None, dataclasses.MISSING) else default
    group.add_argument(
        flag, help=help_text if "default" in help_text else f"{help_text} (default: {shown})", **settings
    )


def _add_model(group: Any) -> None:
    _add(group, "--model", f"{', '.join(names(GROUP))}; or module:function, a function that returns a model of yours")
    help_text = "settings of the model, by name; an unknown one is answered with those it takes"
    _add(group, "--model_args", help_text, type=parse_model_args, metavar="k=v,k=v")
    help_text = "several values of settings: a run for each combination, and a figure (default: none)"
    group.add_argument("--sweep", type=parse_sweep, metavar="k=v/v,k=v/v", help=help_text)
    help_text = "settings chosen together: official (what its release's scripts set); model_args take precedence"
    _add(group, "--preset", help_text, metavar="NAME")
    _add(group, "--device", "cpu, cuda or cuda:1, for models that take one (default: the model's own choice)")
    _add(group, "--seed", "for models that draw at random (default: the model's own)", type=int)
    _add(group, "--decoder", "what decodes video: pyav, decord or torchcodec")
    help_text = "interpreter of the worker, for a model with its own venv (default: this one)"
    _add(group, "--python", help_text, metavar="PATH")
    group.add_argument("--in_process", action="store_true", help="no worker: for a debugger; limits do not hold")


def _add_cases(group: Any) -> None:
    add_suite(
        group,
        "smoke, paper, kinds, open or another name, a .yaml file, or a folder of niah generate (default: default)",
    )
    help_text = "these lengths instead, in frames (default: the suite's)"
    _add(group, "--lengths", help_text, type=comma_separated(int), metavar="N,N")
    help_text = "these depths instead, 0 to 1 (default: the suite's)"
    _add(group, "--depths", help_text, type=comma_separated(float), metavar="D,D")
    help_text = "only these, for instance full,blind (default: the suite's)"
    _add(group, "--conditions", help_text, type=comma_separated(str), metavar="C,C")
    help_text = "only these types of question, for instance those that the model reads on clips alone (default: all)"
    _add(group, "--types", help_text, type=comma_separated(str), metavar="T,T")
    help_text = "the first N cases, or a fraction of them if below 1 (default: all)"
    _add(group, "--limit", help_text, type=float, metavar="N")
    _add(group, "--shard", "the i-th of N blocks of the cases (default: all cases)", metavar="i/N")
    help_text = "print cases, frames, disk and time, and stop; built-in footage is drawn first, once"
    group.add_argument("--dry_run", action="store_true", help=help_text)


def _add_limits(group: Any) -> None:
    _add(group, "--timeout", "for one case", type=float, metavar="SECONDS")
    _add(group, "--load_timeout", "to find a place and load", type=float, metavar="SECONDS")
    _add(
        group,
        "--grace",
        "for what should take a moment: a worker that ends, git, nvidia-smi",
        type=float,
        metavar="SECONDS",
    )
    help_text = "for a file to give a byte (default: 60)"
    _add(group, "--stall_timeout", help_text, type=float, metavar="SECONDS")
    help_text = "stop once the same error came N times in a row; 0: never"
    _add(group, "--stop_after_errors", help_text, type=int, metavar="N")
    _add(group, "--memory_limit_gib", "host memory of the worker; past it: oom", type=float, metavar="GIB")


def _add_workers(group: Any) -> None:
    _add(group, "--engine", "local, ray or ray:ADDRESS, as ray.init takes it: ray:auto", metavar="NAME")
    _add(group, "--num_workers", "default: the GPUs of a Ray cluster, else 1", type=int, metavar="N")
    help_text = "of a Ray cluster (default: 1 if it has any)"
    _add(group, "--gpus_per_worker", help_text, type=float, metavar="N")


def _add_output(group: Any) -> None:
    help_text = "default: runs/SUITE-MODEL"
    group.add_argument("-o", "--output_path", "--output", metavar="FOLDER", help=help_text)
    group.add_argument("--config", metavar="FILE", help="YAML with any of these settings (default: none)")
    ways = group.add_mutually_exclusive_group()
    ways.add_argument("--resume", dest="fresh", action="store_false", help="go on with the records there (default)")
    ways.add_argument("--fresh", action="store_true", help="keep earlier records as records.jsonl.1 and begin anew")
    told = "go on with answers of a model whose files or versions have changed since; run.json names both"
    group.add_argument("--accept_changed_model", action="store_true", help=told)
    add_no_figures(group)


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED)
