"""The command line `niah COMMAND`: the list of commands, and how one is parsed and run.

Only the module of the named command is imported, so that `niah doctor` works where nothing is installed.
Models add commands through the entry-point group `videoniah.commands`; niah itself knows no model.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from niah.cli.command import Command
from niah.cli.guard import guarded
from niah.exit_codes import DONE
from niah.extras import require
from niah.terminal import print_traceback, to_stdout
from niah.types import UserError

GROUP = "videoniah.commands"
COMMANDS = {  # in the order of the list; each is COMMAND of the module niah.cli.NAME
    "run": "ask a model every case of a suite, and draw its accuracy over length and depth",
    "generate": "write the cases of a suite into a folder",
    "render": "write the video of one case to a file, to be watched",
    "table": "sum up runs: accuracy with intervals, validity checks; writes table.csv",
    "figures": "draw accuracy over length and depth, and memory over length",
    "report": "write runs as one HTML page, from the heatmap down to the single case",
    "compare": "test which model is better on the same cases",
    "cost": "print time and memory of a run, with and without reuse",
    "merge": "join the shards of one run",
    "attention": "record what a model's question attends to",
    "paper": "draw the figures and tables of ViLaMP's paper, from your own runs or from traced costs",
    "lm_eval": "run lm-eval with this project's models and tasks",
    "export": "write a suite as tasks of lmms-eval, rendered videos included",
    "import": "make a run of the samples that lmms-eval logged of an exported suite",
    "benchmarks": "print the paper's Table 1 beside your results, or write a sample benchmark",
    "publish": "write a suite or a run as a data set, and push it to the hub if asked to",
    "verify": "check videos and cases against their recorded hashes",
    "track": "show a run in TensorBoard or Weights & Biases",
    "parity": "compare a model with numbers recorded from its release",
    "bench": "measure a model's memory and time over lengths, with random weights",
    "fit": "say whether a model's 7B size fits into a card's memory at a length, without a card",
    "gpu": "measure what only a GPU shows, in order of importance, within some minutes",
    "bench_media": "time the video decoders and count the files each reads correctly",
    "fetch": "download the footage of a suite from public repositories, and check it",
    "doctor": "report what will not work on this machine, and how to fix it",
    "cache": "list or delete what is kept between runs",
}
HEAD = """\
usage: niah COMMAND [...]

Hide a clip in thousands of frames of video, ask a model about it, and map accuracy and memory over length and depth.
"""
TAIL = """\
niah COMMAND --help shows examples, every flag with its default, and exit codes.
"""
EXIT_CODES = "exit codes: 0 done, 2 a mistake in the command or its files, 3 the disk is full, 130 after Ctrl-C"


def script() -> int:
    """Run as the console script: modules in the current folder can be imported, as under `python -m niah`."""
    if not sys.flags.safe_path:
        sys.path.insert(0, os.getcwd())
    return main()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    if arguments is None:
        sys.excepthook = print_traceback
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        return guarded(_print_commands)
    return guarded(lambda: _run(words))


def _run(words: Sequence[str]) -> int:
    """Run the command that the words name."""
    name, rest = _split(words)
    command = load(name)
    options = _parse(name, command, rest)
    for package in command.needs:
        require(package, f"niah {name}")
    options.arguments = rest
    return guarded(lambda: command.run(options), command.stopped, command.place(options))


def _split(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name of the command, which may be given as two words (`bench media`), and the words after it."""
    known = names()
    first = words[0].replace("-", "_")
    two = "_".join(words[:2]).replace("-", "_")
    if len(words) > 1 and two in known:
        return two, list(words[2:])
    if first in known:
        return first, list(words[1:])
    from niah.settings import unknown_name  # here, because it needs yaml, and `niah doctor` needs nothing

    raise UserError(f"{unknown_name('command', words[0], known)} `niah` alone says what each does.")


def names() -> list[str]:
    """Return the name of every command, those of models last."""
    return [*COMMANDS, *sorted(_of_models())]


def load(name: str) -> Command:
    """Import a command. Raises UserError where a package it needs is missing."""
    point = _of_models().get(name)
    return import_module(f"niah.cli.{name}").COMMAND if point is None else point.load()


def summary(name: str) -> str:
    """Return what a command does, in a line, without importing it."""
    if name in COMMANDS:
        return COMMANDS[name]
    package, *inner = _of_models()[name].module.split(".")
    found = find_spec(package)  # the package alone: finding a module inside would import those above it
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        file = Path(folder, *inner).with_suffix(".py")
        if file.is_file():
            first = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]
            return first[:1].lower() + first[1:].rstrip(".")
    return ""


def _of_models() -> dict[str, EntryPoint]:
    """Return the commands that installed packages add, by name; none takes the place of one of niah's."""
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in COMMANDS}


def parser_of(name: str, command: Command) -> argparse.ArgumentParser:
    """Return the parser of a command."""
    epilog = command.epilog if "exit codes:" in command.epilog else f"{command.epilog.rstrip()}\n\n{EXIT_CODES}\n"
    description = summary(name)
    parser = _Parser(
        prog=f"niah {name}",
        description=description[:1].upper() + description[1:] + ".",
        epilog=epilog,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    return parser


def _parse(name: str, command: Command, words: Sequence[str]) -> argparse.Namespace:
    """Return the flags of a command."""
    if command.passes_on and words and list(words) not in (["-h"], ["--help"]):
        return argparse.Namespace()
    end = words.index("--") if "--" in words else len(words)
    parser = parser_of(name, command)
    flags = [_underscored(word) for word in words[:end]]
    _refuse_unknown_flags(parser, flags)
    return parser.parse_args([*flags, *words[end:]])


def _refuse_unknown_flags(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Raise UserError for a long flag that the command does not have, before argparse misses one that it must have."""
    known = parser._option_string_actions  # argparse names its flags nowhere else
    if parser._subparsers is not None:  # whose flags are its parts'
        return
    for word in words:
        flag = word.partition("=")[0]
        if flag.startswith("--") and flag not in known:
            matches = get_close_matches(flag, [name for name in known if name.startswith("--")], n=1)
            hint = f" Did you mean {matches[0]}?" if matches else ""
            parser.error(f"{parser.prog} has no flag {flag}.{hint}")


def _underscored(word: str) -> str:
    """Return a long flag spelled with underscores, whatever it was spelled with; any other word as it is."""
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value if word.startswith("--") else word


class _Parser(argparse.ArgumentParser):
    """Reports a mistake as every other one is reported, in one line, where argparse prints all flags before it."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError."""
        raise UserError(f"{message.rstrip('.?')}{'?' if message.endswith('?') else '.'} All flags: {self.prog} --help")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps line breaks of the text below the flags, and adds to each flag its default."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        """Return the help of one flag."""
        help_text = action.help or ""
        takes_value = action.option_strings and action.nargs != 0 and not action.required
        if not takes_value or "default" in help_text or action.default is argparse.SUPPRESS:
            return help_text
        return f"{help_text} (default: {'none' if action.default in (None, []) else '%(default)s'})"


def _print_commands() -> int:
    """Print every command with a line of what it does."""
    known = names()
    width = max(map(len, known))
    lines = [f"  {name:{width}}  {summary(name)}" for name in known]
    to_stdout("\n".join([HEAD, *lines, "", TAIL]))
    return DONE
