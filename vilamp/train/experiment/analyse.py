"""Make the tables, the verdict and the figures of the experiment from the records that are kept.

Writes table.csv, contrasts.csv, trainings.csv, probe.csv, verdict.md, accuracy.*, lengths.*, questions.* and heatmap.*
beside the records; the same records give the same bytes. Trainings that failed their gate are listed and left out of
everything but the table and the probe.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_config
from niah.exit_codes import DONE
from niah.io import replace_file
from niah.settings import read_yaml
from niah.terminal import to_stdout
from niah.types import UserError
from vilamp.train.experiment.config import Experiment, GainContrast, TrainingJob, TypeContrast
from vilamp.train.experiment.contrasts import (
    Contrast,
    ContrastEstimate,
    Gate,
    accuracy,
    contrasts,
    gates,
    interaction,
    passed,
    weighted_sum,
)
from vilamp.train.experiment.figures import draw_accuracy, draw_heatmaps, draw_lengths, draw_questions
from vilamp.train.experiment.records import (
    Answer,
    config_mismatch,
    is_done,
    load_answers,
    read_training,
    write_table,
)
from vilamp.train.experiment.verdict import verdict

ALL = "all"


@dataclass(frozen=True)
class TableRow:
    """One line of table.csv: a compressor at a budget, over its trained seeds (or one seed), on some cases."""

    compressor: str
    budget: float
    seed: str  # "all" is the mean over the seeds that passed the gate
    condition: str
    length: str
    type: str
    n: int
    accuracy: float
    low: float
    high: float
    tokens: float  # mean, including the prompt's
    seen: float  # share of cases with a frame of the needle among those that reached the language model


def accuracy_table(answers: Sequence[Answer]) -> list[TableRow]:
    """Return the rows of the table: for each training, and for each compressor over its trainings that passed."""
    trained = {(one.compressor, one.budget, one.seed) for one in passed(answers)}
    cells: dict[tuple, list[Answer]] = defaultdict(list)
    for one in answers:
        length = str(one.length) if one.condition == "full" else ALL
        seeds = [str(one.seed)]
        if (one.compressor, one.budget, one.seed) in trained:
            seeds.append(ALL)
        for seed in seeds:
            for kind in dict.fromkeys((one.type, *one.type.split("-"), ALL)):  # "motion-named", "motion", "named", all
                cells[one.compressor, one.budget, seed, one.condition, length, kind].append(one)
    return [_table_row(key, cells[key]) for key in sorted(cells)]


def _table_row(key: tuple, answers: Sequence[Answer]) -> TableRow:
    """Return the line of one cell; the key is its first six columns."""
    estimate = accuracy(answers, "/".join(map(str, key)))
    assert estimate is not None  # a cell has answers
    return TableRow(
        *key,
        n=len(answers),
        accuracy=estimate.value,
        low=estimate.low,
        high=estimate.high,
        tokens=sum(one.tokens for one in answers) / len(answers),
        seen=sum(one.needle_seen > 0 for one in answers) / len(answers),
    )


def primary_contrasts(experiment: Experiment, answers: Sequence[Answer]) -> list[Contrast]:
    """Return the primary compressor against each other one, at the primary budget and the longest trained length."""
    at = experiment.primary.budget, "full", experiment.course.longest
    cases = [one for one in passed(answers) if (one.budget, one.condition, one.length) == at]
    first = experiment.primary.scheme
    others = [name for name in experiment.schemes if name != first]
    return contrasts(cases, first, others, f"{experiment.name}/primary")


def secondary_contrasts(experiment: Experiment, answers: Sequence[Answer]) -> dict[str, ContrastEstimate | None]:
    """Return the config's secondary contrasts at the longest trained length, by what the verdict calls them."""
    at = "full", experiment.course.longest
    longest = [one for one in passed(answers) if (one.condition, one.length) == at]
    at_primary_budget = [one for one in longest if one.budget == experiment.primary.budget]
    return {
        **{one.text: _type_contrast(at_primary_budget, one) for one in experiment.secondary.types},
        **{one.text: _gain_contrast(longest, one) for one in experiment.secondary.gains},
    }


def _type_contrast(answers: Sequence[Answer], contrast: TypeContrast) -> ContrastEstimate | None:
    """Return a compressor's accuracy less the mean of others on some types, less the same on other types if any."""
    first = [one for one in answers if one.compressor == contrast.scheme]
    others = [[one for one in answers if one.compressor == name] for name in contrast.others]
    if contrast.less_types:
        return interaction(first, others, set(contrast.types), set(contrast.less_types), contrast.id)
    parts = [(1.0, first), *((-1 / len(others), other) for other in others)]
    of_types = [(weight, [one for one in part if one.type in contrast.types]) for weight, part in parts]
    return weighted_sum(of_types, contrast.id)


def _gain_contrast(answers: Sequence[Answer], contrast: GainContrast) -> ContrastEstimate | None:
    """Return how much more one compressor gains by tokens than another does."""
    weights = {
        (contrast.scheme, contrast.large): 1.0,
        (contrast.scheme, contrast.small): -1.0,
        (contrast.other, contrast.large): -1.0,
        (contrast.other, contrast.small): 1.0,
    }
    parts = [
        (weight, [one for one in answers if (one.compressor, one.budget) == place]) for place, weight in weights.items()
    ]
    return weighted_sum(parts, contrast.id)


@dataclass(frozen=True)
class ProbeRow:
    """One line of probe.csv: accuracy of a model and of its reader probe, on the same cases."""

    compressor: str
    condition: str
    type: str
    n: int
    model: float
    probe: float


def compare_with_probe(answers: Sequence[Answer], probe_answers: Sequence[Answer]) -> list[ProbeRow]:
    """Return how models and their probes answer the cases that both were asked."""
    by_model = {(one.compressor, one.budget, one.seed, one.case): one.right for one in answers}
    cells: dict[tuple, list[tuple[bool, bool]]] = defaultdict(list)  # right of the model, right of the probe
    for one in probe_answers:
        key = one.compressor, one.budget, one.seed, one.case
        if key in by_model:
            for kind in (*one.type.split("-"), ALL):
                cells[one.compressor, one.condition, kind].append((by_model[key], one.right))
    rows = []
    for key in sorted(cells):
        pairs = cells[key]
        model, probe = (sum(pair[side] for pair in pairs) / len(pairs) for side in (0, 1))
        compressor, condition, kind = key
        rows.append(ProbeRow(compressor, condition, kind, len(pairs), model, probe))
    return rows


def analyse(experiment: Experiment) -> str:
    """Write all tables and figures; return the verdict. Raises UserError where nothing comparable is kept."""
    jobs = _comparable_jobs(experiment)
    answers = load_answers(experiment, jobs)
    folder = Path(experiment.results)
    rows = accuracy_table(answers)
    primary = primary_contrasts(experiment, answers)
    all_gates = gates(answers)
    trainings = [_training_row(experiment, gate) for gate in all_gates]
    probe_rows = compare_with_probe(answers, load_answers(experiment, jobs, probe=True))
    write_table(folder / "table.csv", rows)
    write_table(folder / "contrasts.csv", [_contrast_row(one) for one in primary])
    write_table(folder / "trainings.csv", trainings)
    write_table(folder / "probe.csv", probe_rows)
    draw_accuracy(experiment, rows, folder)
    draw_questions(experiment, rows, folder)
    draw_lengths(experiment, rows, folder)
    draw_heatmaps(experiment, passed(answers), folder)
    secondary = secondary_contrasts(experiment, answers)
    text = verdict(experiment, len(jobs), all_gates, primary, secondary, probe_rows, trainings)
    replace_file(folder / "verdict.md", text)
    return text


def _comparable_jobs(experiment: Experiment) -> list[TrainingJob]:
    """Return the jobs that are done. Raises UserError where there are none, or what they share differs."""
    jobs = [job for job in experiment.jobs() if is_done(experiment, job)]
    if not jobs:
        raise UserError(
            f"{experiment.results} holds no training that was asked everything: niah experiment comes first"
        )
    trainings = {job: read_training(experiment, job) for job in jobs}
    encoders = {training["encoders"] for training in trainings.values()}
    if len(encoders) > 1:
        raise UserError(
            f"{experiment.results} holds trainings on {len(encoders)} sets of encoders "
            f"({', '.join(sorted(encoders))}): what is compared must share them. Remove the records of one set, "
            "and train these again"
        )
    mismatches = {job.name: config_mismatch(experiment, job, training) for job, training in trainings.items()}
    for what in ("course", "model"):
        names = [name for name, mismatch in mismatches.items() if mismatch == what]
        if names:
            raise UserError(
                f"{experiment.results} holds trainings of another {what} than this config's: {', '.join(names)}. What "
                "is compared must share it: name the config they were trained with, or remove their records"
            )
    return jobs


def _training_row(experiment: Experiment, gate: Gate) -> dict[str, Any]:
    """Return a line of trainings.csv; `climbed` has the steps of the curriculum's stages, a deadline's with a star."""
    job = next(
        job for job in experiment.jobs()
        if (job.compressor, job.budget.tokens, job.seed) == (gate.compressor, gate.budget, gate.seed)
    )  # fmt: skip
    training = read_training(experiment, job)
    minutes = training["cpu_seconds"] / 60
    return {
        "compressor": gate.compressor,
        "budget": gate.budget,
        "seed": gate.seed,
        "needle_only": gate.right / gate.n,
        "n": gate.n,
        "low": gate.low,
        "trained": gate.trained,
        "minutes": round(minutes, 2),
        "within_limit": minutes <= experiment.minutes,
        "climbed": " ".join(f"{step}{'' if earned else '*'}" for step, earned in training["climbed"]),
        "parameters": training["parameters"],
    }


def _contrast_row(contrast: Contrast) -> Mapping[str, Any]:
    """Return a line of contrasts.csv."""
    row: dict[str, Any] = {"first": contrast.first, "second": contrast.second}
    estimate = contrast.estimate
    if estimate is not None:
        row |= {
            "difference": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "p": estimate.p,
            "cases": estimate.cases,
            "seeds": " ".join(f"{seed}:{value:+.4f}" for seed, value in estimate.seeds.items()),
        }
    return {**row, "holm": contrast.corrected, "found": contrast.found}


EXAMPLES = """\
example:
  niah experiment_analyse --config configs/experiment/compression.yaml
      table.csv, contrasts.csv, trainings.csv, probe.csv, verdict.md and figures, beside the records
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, "budgets, compressors and cases: YAML, for instance configs/experiment/compression.yaml")


def _run(options: argparse.Namespace) -> int:
    """Write everything, and print the verdict."""
    to_stdout(analyse(read_yaml(Experiment, options.config)))
    return DONE


COMMAND = Command(_run, EXAMPLES, _add_arguments, stopped=RESUMED)
