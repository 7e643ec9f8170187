"""Write tables, words and figures of the experiment from its records alone.

Writes table.csv, contrasts.csv, trainings.csv, probe.csv, verdict.md, accuracy.*, lengths.*, questions.* and heatmap.*
beside the records; the same records give the same bytes. Trainings that failed their gate are listed and left out of
everything but the table and the probe.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_config
from niah.exit_codes import DONE
from niah.io import replace_file
from niah.settings import read_yaml
from niah.suite.footage.wording import WORDINGS
from niah.types import UserError
from vilamp.train.experiment.config import Experiment
from vilamp.train.experiment.contrasts import (
    Contrast,
    Estimate,
    Gate,
    accuracy,
    contrasts,
    gates,
    interaction,
    passed,
    weighted_sum,
)
from vilamp.train.experiment.figures import draw_accuracy, draw_heatmaps, draw_lengths, draw_questions
from vilamp.train.experiment.records import Answer, config_mismatch, is_done, load_answers, read_training
from vilamp.train.experiment.verdict import verdict

ALL = "all"
UNGUIDED = ("uniform", "mean", "summary")
LEAN, RICH = 1.25, 4.0  # tokens a frame, between which the hypothesis asks what a scheme gains


@dataclasses.dataclass(frozen=True)
class TableRow:
    """One line of table.csv: a scheme at a budget, over its trained seeds (or one seed), on some cases."""

    scheme: str
    budget: float
    seed: str  # "all" is the mean over the seeds that passed the gate
    condition: str
    length: str
    type: str
    n: int
    accuracy: float
    low: float
    high: float
    tokens: float  # mean, prompt included
    seen: float  # share of cases with a frame of the needle among those that reached the language model


def accuracy_table(found: Sequence[Answer]) -> list[TableRow]:
    """Return the rows of the table: for each training, and for each scheme over what passed."""
    good = {(one.scheme, one.budget, one.seed) for one in passed(found)}
    cells: dict[tuple, list[Answer]] = defaultdict(list)
    for one in found:
        length = str(one.length) if one.condition == "full" else ALL
        trained = (one.scheme, one.budget, one.seed) in good
        for seed in (str(one.seed), *([ALL] if trained else [])):
            for kind in dict.fromkeys((one.type, *one.type.split("-"), ALL)):  # "motion-named", "motion", "named", all
                cells[one.scheme, one.budget, seed, one.condition, length, kind].append(one)
    return [_row(key, cells[key]) for key in sorted(cells)]


def _row(key: tuple, own: Sequence[Answer]) -> TableRow:
    spread = accuracy(own, "/".join(map(str, key)))
    assert spread is not None  # a cell has answers
    tokens, seen = sum(one.tokens for one in own) / len(own), sum(one.needle_seen > 0 for one in own) / len(own)
    scheme, budget, seed, condition, length, kind = key
    numbers = len(own), spread.value, spread.low, spread.high, tokens, seen
    return TableRow(scheme, budget, seed, condition, length, kind, *numbers)


def primary_contrasts(experiment: Experiment, found: Sequence[Answer]) -> list[Contrast]:
    """Return the first scheme against each other one, at the first budget and the longest trained length."""
    budget, length = experiment.budgets[0].tokens, experiment.course.longest
    cases = [one for one in passed(found) if (one.budget, one.condition, one.length) == (budget, "full", length)]
    first, *others = experiment.schemes
    return contrasts(cases, first, others, f"{experiment.name}/primary")


def secondary_contrasts(experiment: Experiment, found: Sequence[Answer]) -> dict[str, Estimate | None]:
    """Return what the hypothesis names besides the primary contrast, at the longest trained length."""
    budget, length = experiment.budgets[0].tokens, experiment.course.longest
    budgets = {one.tokens for one in experiment.budgets}
    longest = [one for one in passed(found) if (one.condition, one.length) == ("full", length)]
    of = {
        scheme: [one for one in longest if (one.scheme, one.budget) == (scheme, budget)]
        for scheme in ("differential", "keyframes", *UNGUIDED)
    }
    told = {how: {f"{base}-{how}" for base in ("motion", "digit")} for how in WORDINGS}
    base = {kind: {f"{kind}-{how}" for how in WORDINGS} for kind in ("motion", "digit")}
    first, unguided = of["differential"], [of[name] for name in UNGUIDED if name in experiment.schemes]
    parts = [(1.0, first), *((-1 / len(unguided), part) for part in unguided)]
    unnamed = [(weight, [one for one in part if one.type in told["unnamed"]]) for weight, part in parts]
    return {
        "guidance: differential less the unguided, named less unnamed":
            interaction(first, unguided, told["named"], told["unnamed"], "guidance"),
        "guidance: differential less the unguided, unnamed alone": weighted_sum(unnamed, "unnamed"),
        "halves: differential less keyframes, motion less digit":
            interaction(first, [of["keyframes"]], base["motion"], base["digit"], "keyframes"),
        "halves: differential less mean, digit less motion":
            interaction(first, [of["mean"]], base["digit"], base["motion"], "mean"),
        **{f"budget: what {name} gains from {LEAN:g} to {RICH:g} tokens less what differential gains":
            _gained(longest, name) for name in ("uniform", "keyframes") if {LEAN, RICH} <= budgets},
    }  # fmt: skip


def _gained(cases: Sequence[Answer], scheme: str) -> Estimate | None:
    """Return how much more a scheme gains by tokens than `differential` does."""
    signs = {(scheme, RICH): 1.0, (scheme, LEAN): -1.0, ("differential", RICH): -1.0, ("differential", LEAN): 1.0}
    parts = [(sign, [one for one in cases if (one.scheme, one.budget) == place]) for place, sign in signs.items()]
    return weighted_sum(parts, f"budget/{scheme}")


@dataclasses.dataclass(frozen=True)
class ProbeRow:
    """One line of probe.csv: the model and its reader probe, which is told where the needle lies, on the same cases."""

    scheme: str
    condition: str
    type: str
    n: int
    model: float
    probe: float


def compare_with_probe(found: Sequence[Answer], probes: Sequence[Answer]) -> list[ProbeRow]:
    """Return what probes read of the cases that their models were asked too."""
    own = {(one.scheme, one.budget, one.seed, one.case): one.right for one in found}
    cells: dict[tuple, list[tuple[bool, bool]]] = defaultdict(list)
    for one in probes:
        key = one.scheme, one.budget, one.seed, one.case
        if key in own:
            for kind in (*one.type.split("-"), ALL):
                cells[one.scheme, one.condition, kind].append((own[key], one.right))
    rows = []
    for scheme, condition, kind in sorted(cells):
        pairs = cells[scheme, condition, kind]
        model, probe = (sum(pair[side] for pair in pairs) / len(pairs) for side in (0, 1))
        rows.append(ProbeRow(scheme, condition, kind, len(pairs), model, probe))
    return rows


def analyse(experiment: Experiment) -> str:
    """Write everything; return the verdict in words. Raises UserError where nothing comparable is kept."""
    jobs = [job for job in experiment.jobs() if is_done(experiment, job)]
    if not jobs:
        raise UserError(
            f"{experiment.results} holds no training that was asked everything: niah experiment comes first"
        )
    abouts = {job: read_training(experiment, job) for job in jobs}
    encoders = {about["encoders"] for about in abouts.values()}
    if len(encoders) > 1:
        raise UserError(
            f"{experiment.results} holds trainings on {len(encoders)} sets of encoders "
            f"({', '.join(sorted(encoders))}): what is compared must share them. Remove the records of one set, "
            "and train these again"
        )
    departures = {job.name: config_mismatch(experiment, job, about) for job, about in abouts.items()}
    for what in ("course", "model"):
        other = [name for name, found in departures.items() if found == what]
        if other:
            raise UserError(
                f"{experiment.results} holds trainings of another {what} than this config's: {', '.join(other)}. What "
                "is compared must share it: name the config they were trained with, or remove their records"
            )
    found = load_answers(experiment, jobs)
    folder = Path(experiment.results)
    rows, main, more, all_gates = (
        accuracy_table(found),
        primary_contrasts(experiment, found),
        secondary_contrasts(experiment, found),
        gates(found),
    )
    _csv(folder / "table.csv", rows)
    _csv(folder / "contrasts.csv", [_flat(one) for one in main])
    trainings = [_training(experiment, gate) for gate in all_gates]
    _csv(folder / "trainings.csv", trainings)
    read = compare_with_probe(found, load_answers(experiment, jobs, probe=True))
    _csv(folder / "probe.csv", read)
    draw_accuracy(experiment, rows, folder)
    draw_questions(experiment, rows, folder)
    draw_lengths(experiment, rows, folder)
    draw_heatmaps(experiment, passed(found), folder)
    text = verdict(experiment, jobs, all_gates, main, more, read, trainings)
    replace_file(folder / "verdict.md", text)
    return text


def _training(experiment: Experiment, gate: Gate) -> dict:
    """Return a line of trainings.csv."""
    job = next(
        job for job in experiment.jobs()
        if (job.scheme, job.budget.tokens, job.seed) == (gate.scheme, gate.budget, gate.seed)
    )  # fmt: skip
    about = read_training(experiment, job)
    climbed = " ".join(f"{step}{'' if earned else '*'}" for step, earned in about["climbed"])
    minutes = about["cpu_seconds"] / 60
    return {
        "scheme": gate.scheme, "budget": gate.budget, "seed": gate.seed, "needle_only": gate.right / gate.n,
        "n": gate.n, "low": gate.low, "trained": gate.trained, "minutes": round(minutes, 2),
        "within_limit": minutes <= experiment.minutes, "climbed": climbed, "parameters": about["parameters"],
    }  # fmt: skip


def _flat(one: Contrast) -> dict:
    """Return a line of contrasts.csv."""
    spread = one.spread
    numbers = {} if spread is None else {
        "difference": spread.value, "low": spread.low, "high": spread.high, "p": spread.p, "cases": spread.cases,
        "seeds": " ".join(f"{seed}:{value:+.4f}" for seed, value in spread.seeds.items()),
    }  # fmt: skip
    return {"first": one.first, "second": one.second, **numbers, "holm": one.corrected, "found": one.found}


def _csv(path: Path, rows: Sequence) -> None:
    """Write rows with the digits that matter."""
    plain = [row if isinstance(row, dict) else dataclasses.asdict(row) for row in rows]
    replace_file(path, pd.DataFrame(plain).to_csv(index=False, float_format="%.4f", lineterminator="\n"))


EXAMPLES = """\
example:
  niah experiment_analyse --config configs/experiment/compression.yaml
      table.csv, contrasts.csv, trainings.csv, probe.csv, verdict.md and figures, beside the records
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, "a YAML file; see configs/experiment/")


def _run(options: argparse.Namespace) -> int:
    """Write everything, and print the verdict."""
    sys.stdout.write(analyse(read_yaml(Experiment, options.config)))
    return DONE


COMMAND = Command(_run, EXAMPLES, _add_arguments, stopped=RESUMED)
