"""`niah paper WHICH... [FOLDER...]`: draw figures and tables of the paper, from runs or from traced costs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_output
from niah.cli.plugins import traced_files
from niah.figures.paper.draw import FIGURE1, FIGURE2, NAMES, TRACED, draw
from niah.settings import unknown_name
from niah.terminal import to_stderr, to_stdout
from niah.types import KINDS, SINGLE, UserError

MAPS, NO_DECOYS, GATES = "results/paper", "results/paper-no-decoys", "results/gate"  # runs in a checkout
EXAMPLES = """\
which:
  figure1   memory over frames, traced without a GPU     files of niah bench --traced, and RUNs whose measured memory
                                                         gets a figure of its own; without any, those that ship
  figure2   accuracy over length and depth, by model     RUNs of suites over lengths, and of the suite gate; without
                                                         any, those under results/ of a checkout
  figure3   attention concentrates on few frames         FOLDERs of niah attention
  figure4   ... and on few of the other frames' patches  the same, with every frame kept whole
  figure6   accuracy over K                              RUNs that differ in K
  table2    accuracy by compressor                       RUNs of vilamp, topk, uniform, mean, ...
  table3    Hit@k: a kept frame shows the needle         RUNs of models that report which frames they kept
  table5    the same as a table, with FLOPs              the same files
  table6    accuracy over alpha and tau                  RUNs that differ in them

examples:
  niah sweep --config configs/sweeps/keyframes.yaml
      makes the runs for figure6 and table3; configs/sweeps/constants.yaml makes those for table6
  niah paper figure6 runs/keyframes/* -o drawn
  niah paper table3 results/default/vilamp -o drawn
      Hit@k at every length; needs no model
  niah paper figure1 figure2 -o drawn
      both figures: memory of the four 7B models over 64 to 10,000 frames, and the maps of the micro models
  niah paper figure2 runs/paper-vilamp runs/paper-mymodel-load runs/gate-vilamp runs/gate-mymodel-load -o drawn
      figure 2 with a model of your own

Each command writes WHICH.png, WHICH.svg and WHICH.csv (the numbers drawn). The same files always give the same bytes.
The paper's numbers are of other benchmarks: they are drawn beside ours, labelled, and are in none of our CSV files.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("words", nargs="+", metavar="WHICH ... FOLDER", help="what to draw, then what it is drawn from")
    add_output(parser, "where it goes (default: the first FOLDER, or here)")
    kinds = "the kind of question to draw, of runs that ask several"
    parser.add_argument("--kind", choices=KINDS, default=SINGLE, help=kinds)
    parser.add_argument("--title", default="", metavar="TEXT", help="title, for instance whose weights (default: none)")


def run(options: argparse.Namespace) -> int:
    """Draw, print the paths of the files, and name what was drawn from and the runs that were left out."""
    names, folders = _names_and_folders(options.words)
    for name in names:
        title = options.title or ("" if folders else _own_title(name))
        sources = folders or _own_folders(name)
        drawn = draw(name, sources, _folder(options), title, options.kind)
        to_stderr(f"{name} is drawn from {', '.join(map(_from_here, sources))}\n")
        to_stderr("".join(f"{note}\n" for note in drawn.notes))
        to_stdout("".join(f"{path}\n" for path in drawn.paths))
    return 0


def _names_and_folders(words: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Return which figures are wanted, and the folders behind them. Raises UserError where there is no figure."""
    names = list(takewhile(lambda word: word in NAMES, words))
    if not names:
        raise UserError(f"the first word says what to draw: {unknown_name('figure or table', words[0], NAMES)}")
    return names, [Path(word) for word in words[len(names) :]]


def _from_here(path: Path) -> str:
    """Return a path as it is typed here: those that ship are found by where the package lies."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _own_folders(name: str) -> list[Path]:
    """Return what a figure is drawn from if nothing is named. Raises UserError where it needs folders."""
    if name == FIGURE1:
        return [*traced_files(), *_runs_in(MAPS)]
    if name in TRACED:
        return traced_files()
    if name == FIGURE2:
        found = [run for folder in (MAPS, NO_DECOYS, GATES) for run in _runs_in(folder)]
        if found:
            return found
        places = f"{MAPS}, {NO_DECOYS} and {GATES}"
        raise UserError(f"figure2 is drawn from RUNs: name them, or go to a checkout: they lie in {places}")
    raise UserError(f"{name} is drawn from FOLDERs: name one or more; niah paper --help says of what")


def _own_title(name: str) -> str:
    """Return the title that the runs of a checkout bring with them."""
    path = Path(f"{MAPS}-title.txt")
    return path.read_text(encoding="utf-8").strip() if name == FIGURE2 and path.is_file() else ""


def _runs_in(folder: str) -> list[Path]:
    """Return the runs in a folder of a checkout; none elsewhere."""
    return sorted(path.parent for path in Path(folder).glob("*/records.jsonl*"))


def _folder(options: argparse.Namespace) -> Path:
    """Return the folder that the figures go into."""
    _, folders = _names_and_folders(options.words)
    first = folders[0] if folders else Path(".")
    return options.output or (first if first.suffix != ".csv" else first.parent)


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED, place=_folder)
