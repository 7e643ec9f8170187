"""What is kept of every answer: a line of a small CSV file for each, from which all tables and figures are made.

The run folders hold more (times, memory, every option's score) and are too large to keep for dozens of models. Cases
are the same for all models of a budget and stand in one file. Scores are not kept: they follow from the replies.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from niah.analysis.load import read_run
from niah.io import replace_file, replacing
from niah.scoring import extract_answer
from niah.settings import from_mapping
from niah.types import Case, Record, UserError
from vilamp.config import VilampConfig
from vilamp.train.experiment.config import Curriculum, Experiment, Job, SuitePart

CASE = ("case", "condition", "type", "needle", "source", "haystack", "length", "start", "options", "answer")
REPLY = ("case", "reply", "tokens", "seen", "kept", "needle_seen", "needle_kept")


@dataclass(frozen=True)
class Answer:
    """One case of one trained model, scored."""

    scheme: str
    budget: float
    seed: int
    case: str
    condition: str
    type: str
    haystack: str
    length: int
    depth: float | None  # of the needle among the frames before and behind it
    right: bool
    tokens: int  # that the language model could attend to, the prompt's included
    needle_seen: int  # frames of the needle that reached the language model at all


def save_records(experiment: Experiment, job: Job, part: SuitePart, folder: Path) -> None:
    """Write what is kept of a job's training and of the run of one part.

    Raises UserError where a case has another meaning than for earlier jobs, or an earlier part another training.
    """
    asked = read_run(folder)
    _keep_cases(Path(experiment.results) / "cases.csv", asked.cases)
    rows = [_reply(asked.records[case.id]) for case in asked.cases if case.id in asked.records]
    training = json.loads((experiment.checkpoint(job) / "train.json").read_text(encoding="utf-8"))
    file = _training_file(experiment, job)
    if file.is_file() and read_training(experiment, job) != training:
        raise UserError(
            f"{file} is of another training than {experiment.checkpoint(job)}: answers of two models would stand "
            "together. Restore the checkpoint, or remove the job's records and this file"
        )
    _write(file, [json.dumps(training, indent=1, sort_keys=True)])
    _write_csv(_records_file(experiment, job, part), REPLY, sorted(rows))


def has_records(experiment: Experiment, job: Job, part: SuitePart) -> bool:
    """Say whether the records of one part are kept."""
    return _records_file(experiment, job, part).is_file()


def is_done(experiment: Experiment, job: Job) -> bool:
    """Say whether a job is trained and asked, but for what is asked later."""
    return all(has_records(experiment, job, part) for part in experiment.parts(job) if not part.later)


def read_training(experiment: Experiment, job: Job) -> dict:
    """Return what is kept of a job's training."""
    return json.loads(_training_file(experiment, job).read_text(encoding="utf-8"))


def config_mismatch(experiment: Experiment, job: Job, training: dict) -> str | None:
    """Name what a training was made with that the config does not say: its course, its model, or None."""
    if from_mapping(Curriculum, training["course"], job.name) != experiment.course:
        return "course"
    if from_mapping(VilampConfig, training["model"], job.name) != experiment.model_of(job):
        return "model"
    return None


def load_answers(experiment: Experiment, jobs: Iterable[Job], probe: bool = False) -> list[Answer]:
    """Return all kept answers of some jobs, or of their probes, scored.

    Raises UserError where a reply's case is not known.
    """
    cases = {row["case"]: row for row in _read_csv(Path(experiment.results) / "cases.csv")}
    made = []
    for job in jobs:
        for part in experiment.parts(job):
            path = _records_file(experiment, job, part)
            if part.probe == probe and path.is_file():
                for row in _read_csv(path):
                    if row["case"] not in cases:
                        raise UserError(f"{path}: cases.csv holds no case {row['case']!r}")
                    made.append(_answer(job, cases[row["case"]], row))
    return made


def _answer(job: Job, case: dict[str, str], row: dict[str, str]) -> Answer:
    options = json.loads(case["options"])
    depth = _depth(case) if case["condition"] == "full" else None
    return Answer(
        job.scheme, job.budget.tokens, job.seed, case["case"], case["condition"], case["type"],
        case["haystack"], int(case["length"]), depth, extract_answer(row["reply"], options) == case["answer"],
        int(row["tokens"]), int(row["needle_seen"]),
    )  # fmt: skip


def _depth(case: dict[str, str]) -> float:
    """Return the tenth at which a needle starts."""
    start, stop = map(int, case["start"].split("-"))
    return round(start / (int(case["length"]) - (stop - start)), 1)


def _reply(record: Record) -> tuple:
    if record.status != "ok":
        raise UserError(f"{record.case} ended as {record.status}: ask again before its model is kept")
    counts = (record.language_tokens, record.frames_used, len(record.frames_kept))
    return record.case, record.reply, *counts, record.needle_frames_used, record.needle_frames_kept


def _keep_cases(path: Path, cases: Sequence[Case]) -> None:
    """Add cases to those kept."""
    known = {row["case"]: tuple(row[name] for name in CASE) for row in _read_csv(path)} if path.is_file() else {}
    for case in cases:
        placed = "-".join(str(one) for one in (case.needles[0].start, case.needles[0].stop)) if case.needles else ""
        row = (
            case.id, case.condition, case.type, case.needle, case.needle_source, case.haystack, str(case.length),
            placed, json.dumps(case.options), case.answer,
        )  # fmt: skip
        if known.setdefault(case.id, row) != row:
            raise UserError(
                f"{path} knows {case.id} as another case: the suite has changed since earlier models were asked. "
                "Models asked different cases cannot be compared: ask them all again, or restore the suite"
            )
    _write_csv(path, CASE, sorted(known.values()))


def _records_file(experiment: Experiment, job: Job, part: SuitePart) -> Path:
    return Path(experiment.results) / "records" / part.name / f"{job.name}.csv"


def _training_file(experiment: Experiment, job: Job) -> Path:
    return Path(experiment.results) / "trainings" / f"{job.name}.json"


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[tuple]) -> None:
    """Write a whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _write(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, "\n".join(lines) + "\n")
