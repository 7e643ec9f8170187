"""Train one model of the experiment, and its reader probe; an interrupted training continues where it stopped.

The cost is counted in processor seconds over all attempts, so a machine's other work does not count.

A reader probe shows whether the answer is still in what compression left, whoever could read it: it knows where the
needle lies and sees only the tokens of the needle's frames. It learns from the experiment's own examples, for as many
steps with every compressor.
"""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import torch

from vilamp import checkpoint
from vilamp.config import written
from vilamp.model import Vilamp
from vilamp.train import data
from vilamp.train.experiment.config import Curriculum, Experiment, TrainingJob
from vilamp.train.experiment.examples import (
    ExampleSpec,
    build_examples,
    choose_frames,
    draw_examples,
    frame_order,
    questions,
)
from vilamp.train.journal import Journal
from vilamp.train.loop import StepLoss, hold_then_cool, train_stage
from vilamp.train.probe.model import FILE, NeedleTokens, needle_tokens, save
from vilamp.train.probe.train import ANSWERS, fit
from vilamp.train.reader import PoolFeatures, alignment_loss, reader_loss
from vilamp.train.training import copy_encoders
from vilamp.vocabulary import Vocabulary

PROBE_VIDEOS = 8  # a step

LoadFeatures = Callable[[], list[PoolFeatures]]  # called only if there is something to train


class StageTracker:
    """Which stage of the curriculum a training has reached, by its recent accuracy or by the stage's deadline."""

    def __init__(self, curriculum: Curriculum, state: dict[str, Any]) -> None:
        """Start at the first stage, or where `state` stopped."""
        self.curriculum = curriculum
        self.stage: int = state.get("rung", 0)
        self._recent: deque[bool] = deque(state.get("recent", []), curriculum.window)
        # steps at which the next stage came, each with 1 where accuracy earned it and 0 at the deadline
        self.advances: list[list[int]] = [list(pair) for pair in state.get("climbed", [])]

    @property
    def accuracy(self) -> float:
        """Return the accuracy over the last answers at the present stage."""
        return sum(self._recent) / max(1, len(self._recent))

    def update(self, step: int, stage: int, right: list[bool]) -> None:
        """Count the answers to a step's examples, which were those of `stage`; move to the next stage if it is due."""
        if stage == self.stage:
            self._recent.extend(right)
        stages = self.curriculum.rungs
        if self.stage + 1 == len(stages):
            return
        earned = len(self._recent) == self.curriculum.window and self.accuracy > self.curriculum.promote
        if earned or step + 1 >= stages[self.stage].until * self.curriculum.steps:
            self.advances.append([step + 1, int(earned)])
            self.stage += 1
            self._recent.clear()

    def state(self) -> dict[str, Any]:
        """Return what to resume from."""
        return {"rung": self.stage, "recent": list(self._recent), "climbed": self.advances}


def train(experiment: Experiment, job: TrainingJob, load_features: LoadFeatures) -> None:
    """Train a job's model to its end and save its checkpoint."""
    folder = experiment.checkpoint(job)
    encoders = checkpoint.locate(experiment.encoder_from) / "model.safetensors"
    settings = {
        "job": job.name,
        "course": dataclasses.asdict(experiment.course),
        "encoder_from": experiment.encoder_from,
        "encoders": sha256(encoders.read_bytes()).hexdigest()[:12],
        "model": written(experiment.model_of(job)),
    }
    journal = Journal(folder, json.dumps(settings, sort_keys=True))
    model = new_model(experiment, job)
    if journal.state["stage"] == "reader":
        model.load_state_dict(journal.state["model"])
    tracker = StageTracker(experiment.course, journal.state)
    cpu_seconds = _train_reader(experiment, job, model, journal, tracker, load_features())
    checkpoint.save(model, folder)
    summary = {
        **settings, "scheme": job.compressor, "budget": job.budget.tokens, "seed": job.seed,
        "cpu_seconds": round(cpu_seconds, 1), "seconds": round(journal.seconds, 1), "climbed": tracker.advances,
        "accuracy": round(tracker.accuracy, 4), "parameters": sum(one.numel() for one in _trained_parameters(model)),
        "torch": torch.__version__,
    }  # fmt: skip
    journal.finish(summary)


def new_model(experiment: Experiment, job: TrainingJob) -> Vilamp:
    """Return a job's model before training.

    Connectors and language model start equal for all compressors of a seed.
    """
    torch.manual_seed(job.seed)  # for the initial weights alone, a compressor's own last
    model = Vilamp(experiment.model_of(job), Vocabulary(data.extended_vocabulary_words()))
    copy_encoders(model, experiment.encoder_from)
    model.eval().requires_grad_(False)
    for parameter in _trained_parameters(model):
        parameter.requires_grad_(True)
    return model.to(experiment.device)


def _trained_parameters(model: Vilamp) -> list[torch.nn.Parameter]:
    """Return what is trained: connectors, language model, and the compressor's own parameters if it has any."""
    parts = [model.keyframe_connector, model.merged_connector, model.language]
    own = [model.scheme] if isinstance(model.scheme, torch.nn.Module) else []
    return [parameter for part in (*parts, *own) for parameter in part.parameters()]


def _train_reader(
    experiment: Experiment,
    job: TrainingJob,
    model: Vilamp,
    journal: Journal,
    tracker: StageTracker,
    pools: list[PoolFeatures],
) -> float:
    """Take the steps that are left; return the processor seconds of all attempts."""
    curriculum = experiment.course
    began = time.process_time() - journal.state.get("cpu", 0.0)

    def step_loss(step: int) -> StepLoss:
        stage, specs = draw_examples(curriculum, job.seed, step, tracker.stage)
        batch = [example for one in specs for example in build_examples(model, pools[one.world], one, curriculum)]
        loss, tracing, right = reader_loss(model, batch)
        total = loss + curriculum.tracing * tracing
        if curriculum.alignment:
            rng = random.Random(f"compression/{job.seed}/{step}/alignment")
            total = total + curriculum.alignment * alignment_loss(model, pools[rng.randrange(len(pools))], rng)
        tracker.update(step, stage, right)
        length = curriculum.rungs[tracker.stage].length
        return total, {"loss": loss.item(), "accuracy": tracker.accuracy, "length": length}

    train_stage(
        journal,
        "reader",
        curriculum.steps,
        step_loss,
        _trained_parameters(model),
        rate=lambda step: hold_then_cool(curriculum.rate, step, curriculum.steps, curriculum.cooling),
        weight_decay=0.01,
        state=lambda: {"model": model.state_dict(), "cpu": time.process_time() - began, **tracker.state()},
        label=job.name,
    )
    return time.process_time() - began


def train_probe(experiment: Experiment, job: TrainingJob, load_features: LoadFeatures) -> None:
    """Train the reader probe of a job's checkpoint, unless it exists."""
    folder = experiment.checkpoint(job)
    if (folder / FILE).is_file():
        return
    model, weights_id = checkpoint.load(folder)
    model.requires_grad_(False)
    pools = load_features()

    @torch.no_grad()
    def batch(step: int) -> list[tuple[NeedleTokens, int]]:
        specs = _probe_specs(experiment.course, step)
        return [pair for one in specs for pair in needle_examples(model, pools[one.world], one)]

    save(fit(model, experiment.probe_steps, batch, f"probe of {job.name}"), folder, weights_id)


def _probe_specs(curriculum: Curriculum, step: int) -> list[ExampleSpec]:
    """Return the videos of a probe's step, of all lengths; they depend on no compressor and on no training's seed."""
    specs: list[ExampleSpec] = []
    number = 0
    while len(specs) < PROBE_VIDEOS:
        _, more = draw_examples(curriculum, -1, PROBE_VIDEOS * step + number, len(curriculum.rungs) - 1)
        specs += more
        number += 1
    return specs[:PROBE_VIDEOS]


def needle_examples(model: Vilamp, features: PoolFeatures, spec: ExampleSpec) -> list[tuple[NeedleTokens, int]]:
    """Return for each question of a video the needle's tokens, and the index of the answer in ANSWERS."""
    clip = features.pool.clips[spec.clip]
    compressor = model.compressor
    order, before = frame_order(features, spec)
    examples = []
    stream = None
    for question in questions(clip):
        query = features.queries[question.text]
        if stream is None or compressor.guided:
            choice, chunks = choose_frames(compressor, features, order, query)
            stream = model.compressed_tokens(choice, query, chunks)
        tokens = needle_tokens(stream, before, before + clip.count, query)
        examples.append((tokens, ANSWERS.index(question.answer)))
    return examples
