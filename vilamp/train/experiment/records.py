"""The records that the experiment keeps: a line of a small CSV file for each answer.

All tables and figures are made from them. The run folders hold more (times, memory, every option's score) and are too
large to keep for dozens of models. Cases are the same for all models of a budget and are kept in one file. Scores are
not kept: they follow from the replies.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from niah.analysis.load import read_run
from niah.io import replace_file, replacing
from niah.scoring import extract_answer
from niah.settings import from_mapping
from niah.types import Case, Record, UserError
from vilamp.config import VilampConfig
from vilamp.train.experiment.config import Curriculum, Experiment, SuitePart, TrainingJob
from vilamp.train.journal import SUMMARY

CASE_COLUMNS = ("case", "condition", "type", "needle", "source", "haystack", "length", "start", "options", "answer")
FLOAT_FORMAT = "%.4f"  # of tables
REPLY_COLUMNS = ("case", "reply", "tokens", "seen", "kept", "needle_seen", "needle_kept")


@dataclass(frozen=True)
class Answer:
    """One case of one trained model, scored."""

    compressor: str
    budget: float
    seed: int
    case: str
    condition: str
    type: str
    haystack: str
    length: int
    depth: float | None  # of the needle among the frames before and after it; None where it is alone
    right: bool
    tokens: int  # that the language model could attend to, including the prompt's
    needle_seen: int  # frames of the needle that reached the language model in any form


def save_records(experiment: Experiment, job: TrainingJob, part: SuitePart, folder: Path) -> None:
    """Keep a job's training and the answers of one part, whose run is in `folder`.

    Raises UserError where a case differs from the same case of earlier jobs, or an earlier part is of another training.
    """
    run = read_run(folder)
    _add_cases(Path(experiment.results) / "cases.csv", run.cases)
    rows = [_reply_row(run.records[case.id]) for case in run.cases if case.id in run.records]
    training = json.loads((experiment.checkpoint(job) / SUMMARY).read_text(encoding="utf-8"))
    file = _training_file(experiment, job)
    if file.is_file() and read_training(experiment, job) != training:
        raise UserError(
            f"{file} is of another training than {experiment.checkpoint(job)}: answers of two models would stand "
            "together. Restore the checkpoint, or remove the job's records and this file"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, json.dumps(training, indent=1, sort_keys=True) + "\n")
    _write_csv(_records_file(experiment, job, part), REPLY_COLUMNS, sorted(rows))


def has_records(experiment: Experiment, job: TrainingJob, part: SuitePart) -> bool:
    """Return True if the records of one part are kept."""
    return _records_file(experiment, job, part).is_file()


def is_done(experiment: Experiment, job: TrainingJob) -> bool:
    """Return True if a job is trained and asked, except for what is asked later."""
    return all(has_records(experiment, job, part) for part in experiment.parts(job) if not part.later)


def read_training(experiment: Experiment, job: TrainingJob) -> dict[str, Any]:
    """Return the summary that is kept of a job's training."""
    return json.loads(_training_file(experiment, job).read_text(encoding="utf-8"))


def config_mismatch(experiment: Experiment, job: TrainingJob, training: Mapping[str, Any]) -> str | None:
    """Return what a training was made with that differs from the config, "course" or "model", or None."""
    if from_mapping(Curriculum, training["course"], job.name) != experiment.course:
        return "course"
    if from_mapping(VilampConfig, training["model"], job.name) != experiment.model_of(job):
        return "model"
    return None


def load_answers(experiment: Experiment, jobs: Iterable[TrainingJob], probe: bool = False) -> list[Answer]:
    """Return all kept answers of some jobs' models, or of their reader probes, scored.

    Raises UserError for a reply whose case is not known.
    """
    cases = {row["case"]: row for row in _read_csv(Path(experiment.results) / "cases.csv")}
    answers = []
    for job in jobs:
        for part in experiment.parts(job):
            path = _records_file(experiment, job, part)
            if part.probe != probe or not path.is_file():
                continue
            for row in _read_csv(path):
                if row["case"] not in cases:
                    raise UserError(f"{path}: cases.csv holds no case {row['case']!r}")
                answers.append(_answer(job, cases[row["case"]], row))
    return answers


def _answer(job: TrainingJob, case: Mapping[str, str], row: Mapping[str, str]) -> Answer:
    """Return a reply, scored, with what its case was."""
    return Answer(
        compressor=job.compressor,
        budget=job.budget.tokens,
        seed=job.seed,
        case=case["case"],
        condition=case["condition"],
        type=case["type"],
        haystack=case["haystack"],
        length=int(case["length"]),
        depth=_depth(case) if case["condition"] == "full" else None,
        right=extract_answer(row["reply"], json.loads(case["options"])) == case["answer"],
        tokens=int(row["tokens"]),
        needle_seen=int(row["needle_seen"]),
    )


def _depth(case: Mapping[str, str]) -> float:
    """Return the depth at which a needle starts, to one decimal."""
    start, stop = map(int, case["start"].split("-"))
    return round(start / (int(case["length"]) - (stop - start)), 1)


def _reply_row(record: Record) -> tuple:
    """Return the line of a record. Raises UserError for a case that has no answer."""
    if record.status != "ok":
        raise UserError(f"{record.case} ended as {record.status}: ask again before its model is kept")
    return (
        record.case,
        record.reply,
        record.language_tokens,
        record.frames_used,
        len(record.frames_kept),
        record.needle_frames_used,
        record.needle_frames_kept,
    )


def _add_cases(path: Path, cases: Sequence[Case]) -> None:
    """Add cases to those kept. Raises UserError where a case with the same name differs."""
    rows: dict[str, tuple[str, ...]] = {}
    if path.is_file():
        rows = {row["case"]: tuple(row[name] for name in CASE_COLUMNS) for row in _read_csv(path)}
    for case in cases:
        row = _case_row(case)
        if rows.setdefault(case.id, row) != row:
            raise UserError(
                f"{path} knows {case.id} as another case: the suite has changed since earlier models were asked. "
                "Models asked different cases cannot be compared: ask them all again, or restore the suite"
            )
    _write_csv(path, CASE_COLUMNS, sorted(rows.values()))


def _case_row(case: Case) -> tuple[str, ...]:
    """Return the line of a case; `start` has the needle's first frame and the one after its last."""
    start = f"{case.needles[0].start}-{case.needles[0].stop}" if case.needles else ""
    return (
        case.id, case.condition, case.type, case.needle, case.needle_source, case.haystack, str(case.length),
        start, json.dumps(case.options), case.answer,
    )  # fmt: skip


def _records_file(experiment: Experiment, job: TrainingJob, part: SuitePart) -> Path:
    return Path(experiment.results) / "records" / part.name / f"{job.name}.csv"


def _training_file(experiment: Experiment, job: TrainingJob) -> Path:
    return Path(experiment.results) / "trainings" / f"{job.name}.json"


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[tuple]) -> None:
    """Write records as they are; a whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def write_table(path: Path, rows: Sequence[Any]) -> None:
    """Write a table of results, numbers with four decimals; rows are dataclasses or mappings."""
    table = pd.DataFrame(to_mappings(rows))
    replace_file(path, table.to_csv(index=False, float_format=FLOAT_FORMAT, lineterminator="\n"))


def to_mappings(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return rows by the names of their columns in files, which call a compressor `scheme`."""
    plain = [dataclasses.asdict(cast(Any, row)) if dataclasses.is_dataclass(row) else row for row in rows]
    return [{"scheme" if name == "compressor" else name: value for name, value in row.items()} for row in plain]
