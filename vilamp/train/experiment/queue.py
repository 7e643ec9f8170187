"""The experiment's jobs in their order, one at a time: train, ask, keep the records.

What is done is read from the disk, so an interrupted queue goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import torch

from niah.exit_codes import DONE, INCOMPLETE
from niah.run.config import RunConfig
from niah.run.folder import locked
from niah.settings import unknown_name
from niah.terminal import to_stderr
from niah.types import UserError
from vilamp.train.experiment.config import Experiment, SuitePart, TrainingJob
from vilamp.train.experiment.footage import load_features
from vilamp.train.experiment.records import config_mismatch, has_records, is_done, read_training, save_records
from vilamp.train.experiment.train import LoadFeatures, train, train_probe
from vilamp.train.journal import has_state, read_summary
from vilamp.train.many_runs import NamedRun, run_all
from vilamp.train.probe.client import ProbeClient


def select_jobs(experiment: Experiment, only: str | None) -> list[TrainingJob]:
    """Return the queue, or the jobs that `only` names, separated by commas.

    Raises UserError for a name that no job has.
    """
    jobs = {job.name: job for job in experiment.jobs()}
    if only is None:
        return list(jobs.values())
    for name in only.split(","):
        if name not in jobs:
            raise UserError(unknown_name("job", name, list(jobs)))
    return [jobs[name] for name in only.split(",")]


def run_jobs(experiment: Experiment, jobs: Sequence[TrainingJob]) -> int:
    """Do what is left of the jobs; return 0, 3 where something could not be asked, or 130 after Ctrl-C.

    The parts that are asked later come after all trainings.
    """
    torch.set_num_threads(1)  # a training's cost is counted on one core
    lost: list[TrainingJob] = []  # without the checkpoint that their records are of
    with locked(Path(experiment.output)):
        code = run_all(_runs(experiment, jobs, lost))
    return max(code, INCOMPLETE if lost else DONE)


def _runs(experiment: Experiment, jobs: Sequence[TrainingJob], lost: list[TrainingJob]) -> Iterator[NamedRun]:
    """Train the models that are still missing, each before its first run, and yield the runs that are not kept yet.

    Jobs that can neither be trained nor asked are added to `lost`.
    """

    @cache
    def features():
        return load_features(experiment)

    for later in (False, True):
        for number, job in enumerate(jobs, start=1):
            parts = [part for part in experiment.parts(job) if part.later == later]
            parts = [part for part in parts if not has_records(experiment, job, part)]
            if not parts:
                continue
            if not _train_if_missing(experiment, job, features):
                lost.append(job)
                continue
            for part in parts:
                yield _run(experiment, job, part, f"{number} of {len(jobs)}: {job.name}: {part.name}")


def _train_if_missing(experiment: Experiment, job: TrainingJob, features: LoadFeatures) -> bool:
    """Train a job's model and its probe unless they exist; return True if they can be asked.

    Raises UserError where the existing model was trained otherwise than the config says.
    """
    checkpoint = experiment.checkpoint(job)
    training = read_summary(checkpoint)
    if training is None:
        if any(has_records(experiment, job, part) for part in experiment.parts(job)):
            to_stderr(
                f"{job.name} was asked before and its checkpoint is gone ({checkpoint}): another "
                "training would be another model. Restore the checkpoint, or remove the job's records\n"
            )
            return False
        train(experiment, job, features)
        to_stderr(cost_text(experiment, job) + "\n")
    elif (mismatch := config_mismatch(experiment, job, training)) is not None:
        raise UserError(
            f"{checkpoint} was trained with another {mismatch} than this config's: give this experiment another "
            "output, or name the config it was trained with"
        )
    if experiment.has_probe(job) and any(part.probe for part in experiment.parts(job)):
        train_probe(experiment, job, features)
    return True


def _run(experiment: Experiment, job: TrainingJob, part: SuitePart, name: str) -> NamedRun:
    """Return the run that asks a trained model, or its probe, one part of the suite."""
    folder = Path(experiment.output) / "asked" / job.name / part.name
    config = RunConfig(
        model="vilamp-probe" if part.probe else "vilamp",
        model_args={"pretrained": str(experiment.checkpoint(job))},
        device=None if part.probe else experiment.device,
        suite=experiment.suite,
        lengths=part.lengths or job.budget.lengths,
        depths=part.depths,
        conditions=part.conditions,
        limit=part.limit,
        output_path=str(folder),
        in_process=True,  # nothing is concluded from time and memory
        figures=False,
    )
    make_worker = ProbeClient if part.probe else None
    return NamedRun(name, config, make_worker, partial(save_records, experiment, job, part, folder))


def cost_text(experiment: Experiment, job: TrainingJob) -> str:
    """Return what a training cost, and whether that is more than it may."""
    training = read_summary(experiment.checkpoint(job))
    minutes = training["cpu_seconds"] / 60 if training else 0.0
    over = f", MORE than the {experiment.minutes:g} it may" if minutes > experiment.minutes else ""
    return f"{job.name}: {minutes:.1f} minutes of one core{over}"


def queue_text(experiment: Experiment, jobs: Sequence[TrainingJob]) -> str:
    """Return the queue with each training's cost: measured where it is done, expected where it is not."""
    lines = [f"{'job':24} {'minutes':>8}  state"]
    minutes_left = 0.0
    for job in jobs:
        minutes, state = _job_state(experiment, job)
        if state in ("begun", "waiting"):
            minutes_left += minutes
        over = "  over the limit" if minutes > experiment.minutes else ""
        lines.append(f"{job.name:24} {minutes:8.1f}  {state}{over}")
    lines.append(f"left to train: about {minutes_left / 60:.1f} hours of one core; asking comes on top")
    return "\n".join(lines)


def _job_state(experiment: Experiment, job: TrainingJob) -> tuple[float, str]:
    """Return the minutes of a job's training, and how far the job is."""
    checkpoint = experiment.checkpoint(job)
    training = read_summary(checkpoint)
    if is_done(experiment, job):
        missing = [part.name for part in experiment.parts(job) if not has_records(experiment, job, part)]
        minutes = read_training(experiment, job)["cpu_seconds"] / 60
        return minutes, f"done, but for {', '.join(missing)}" if missing else "done"
    if training is not None:
        return training["cpu_seconds"] / 60, "trained, not all asked"
    expected = float(experiment.expected.get(job.compressor, experiment.minutes)) * job.budget.cost
    return expected, "begun" if has_state(checkpoint) else "waiting"
