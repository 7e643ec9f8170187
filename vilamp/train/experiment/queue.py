"""The trainings in their order, one at a time: train, ask, keep the records. What is done is seen on the disk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch

from niah.cli.run_suite import run_suite as run
from niah.exit_codes import DONE, INCOMPLETE, INTERRUPTED
from niah.run.config import RunConfig
from niah.run.folder import locked
from niah.run.process import Worker
from niah.settings import unknown_name
from niah.types import UserError
from vilamp.train.experiment.config import Experiment, Job, SuitePart
from vilamp.train.experiment.footage import load_features
from vilamp.train.experiment.probe import train_probe
from vilamp.train.experiment.records import config_mismatch, has_records, is_done, read_training, save_records
from vilamp.train.experiment.train import read_summary, train
from vilamp.train.many_runs import shared_store
from vilamp.train.probe.client import ProbeClient
from vilamp.train.reader import PoolFeatures


def select_jobs(experiment: Experiment, only: str | None) -> list[Job]:
    """Return the queue, or the jobs that `only` names, apart by commas. Raises UserError for an unknown one."""
    jobs = {job.name: job for job in experiment.jobs()}
    if only is None:
        return list(jobs.values())
    for name in only.split(","):
        if name not in jobs:
            raise UserError(unknown_name("job", name, list(jobs)))
    return [jobs[name] for name in only.split(",")]


def run_jobs(experiment: Experiment, jobs: Sequence[Job]) -> int:
    """Do what is left of the jobs; return 0, 3 where something could not be asked, 130 where somebody stopped a run.

    All trainings come first, then the parts that are asked later.
    """
    torch.set_num_threads(1)  # a training's cost is counted on one core

    @cache
    def features():
        return load_features(experiment)

    worst = DONE
    answerer = shared_store()  # all models see the same frames through the same encoders
    with locked(Path(experiment.output)):
        for later in (False, True):
            for number, job in enumerate(jobs):
                left = [part for part in experiment.parts(job) if part.later == later]
                left = [part for part in left if not has_records(experiment, job, part)]
                if not left:
                    continue
                sys.stderr.write(f"{number + 1} of {len(jobs)}: {job.name}: {', '.join(one.name for one in left)}\n")
                if not _trained(experiment, job, features):
                    worst = INCOMPLETE
                    continue
                code = _ask(experiment, job, left, answerer)
                if code == INTERRUPTED:
                    return code
                worst = max(worst, code)
    return worst


def _trained(experiment: Experiment, job: Job, features: Callable[[], list[PoolFeatures]]) -> bool:
    """Train a job's model and its probe unless they are there; say whether they can be asked.

    Raises UserError where the model that is there was trained otherwise than the config says.
    """
    checkpoint = experiment.checkpoint(job)
    training = read_summary(checkpoint)
    if training is None:
        if any(has_records(experiment, job, part) for part in experiment.parts(job)):
            sys.stderr.write(
                f"{job.name} was asked before and its checkpoint is gone ({checkpoint}): another "
                "training would be another model. Restore the checkpoint, or remove the job's records\n"
            )
            return False
        train(experiment, job, features)
        sys.stderr.write(cost_text(experiment, job) + "\n")
    elif (what := config_mismatch(experiment, job, training)) is not None:
        raise UserError(
            f"{checkpoint} was trained with another {what} than this config's: give this experiment another output, "
            "or name the config it was trained with"
        )
    if experiment.probed(job) and any(part.probe for part in experiment.parts(job)):
        train_probe(experiment, job, features)
    return True


def _ask(experiment: Experiment, job: Job, parts: Sequence[SuitePart], answerer: Callable[..., Worker]) -> int:
    """Put parts of the suite to a trained model and keep what is whole; return the worst exit code."""
    worst = DONE
    for part in parts:
        config = RunConfig(
            model="vilamp-probe" if part.probe else "vilamp",
            model_args={"pretrained": str(experiment.checkpoint(job))},
            device=None if part.probe else experiment.device,
            suite=experiment.suite,
            lengths=part.lengths or job.budget.lengths,
            depths=part.depths,
            conditions=part.conditions,
            limit=part.limit,
            output_path=str(run_folder(experiment, job, part)),
            in_process=True,  # of time and memory nothing is concluded
            figures=False,
        )
        code = run(config, (), ProbeClient if part.probe else answerer)
        if code == DONE:
            save_records(experiment, job, part, run_folder(experiment, job, part))
        if code == INTERRUPTED:
            return code
        worst = max(worst, code)
    return worst


def run_folder(experiment: Experiment, job: Job, part: SuitePart) -> Path:
    """Return the run folder of one part."""
    return Path(experiment.output) / "asked" / job.name / part.name


def cost_text(experiment: Experiment, job: Job) -> str:
    """Say what a training cost, and whether that is more than it may."""
    training = read_summary(experiment.checkpoint(job))
    minutes = training["cpu_seconds"] / 60 if training else 0.0
    over = f", MORE than the {experiment.minutes:g} it may" if minutes > experiment.minutes else ""
    return f"{job.name}: {minutes:.1f} minutes of one core{over}"


def queue_text(experiment: Experiment, jobs: Sequence[Job]) -> str:
    """Return the queue with what each training costs, measured where it is done and expected where it is not."""
    lines, left = [f"{'job':24} {'minutes':>8}  state"], 0.0
    for job in jobs:
        training = read_summary(experiment.checkpoint(job))
        if is_done(experiment, job):
            later = [part.name for part in experiment.parts(job) if not has_records(experiment, job, part)]
            minutes = read_training(experiment, job)["cpu_seconds"] / 60
            state = f"done, but for {', '.join(later)}" if later else "done"
        elif training is not None:
            minutes, state = training["cpu_seconds"] / 60, "trained, not all asked"
        else:
            minutes = float(experiment.expected.get(job.scheme, experiment.minutes)) * _dearer(job)
            started = (experiment.checkpoint(job) / "resume.pt").is_file()
            state = "begun" if started else "waiting"
            left += minutes
        over = "  over the limit" if minutes > experiment.minutes else ""
        lines.append(f"{job.name:24} {minutes:8.1f}  {state}{over}")
    lines.append(f"left to train: about {left / 60:.1f} hours of one core; asking comes on top")
    return "\n".join(lines)


def _dearer(job: Job) -> float:
    """Return how much dearer than at 2 tokens a frame a training is; measured at 1.25 and 4."""
    return 0.8 if job.budget.tokens < 2 else 1.0 if job.budget.tokens == 2 else 1.3
