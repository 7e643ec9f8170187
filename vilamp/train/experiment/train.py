"""Train one model of the experiment; interrupted, it goes on where it stopped.

What it cost is counted in seconds of the processor, over all attempts: a machine's other work does not count.
"""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import torch
from tqdm import tqdm

from niah.io import replace_file
from vilamp import checkpoint
from vilamp.config import written
from vilamp.model import Vilamp
from vilamp.train import data
from vilamp.train.experiment.config import Curriculum, Experiment, Job
from vilamp.train.experiment.examples import batch_loss, build_examples, draw_examples
from vilamp.train.journal import Journal
from vilamp.train.reader import PoolFeatures, alignment_loss
from vilamp.train.training import copy_encoders, optimizer_step
from vilamp.vocabulary import Vocabulary

SAVED = 100  # steps between two states to resume from
PLOTTED = 20  # steps between two rows of the curve


class StageTracker:
    """Which rung a training has come to, by what it got right of late or by the deadline."""

    def __init__(self, experiment: Experiment, state: dict) -> None:
        self.course = experiment.course
        self.rung: int = state.get("rung", 0)
        self.recent: deque[bool] = deque(state.get("recent", []), self.course.window)
        self.climbed: list[list[int]] = [list(pair) for pair in state.get("climbed", [])]  # step, earned or not

    @property
    def accuracy(self) -> float:
        """Return the share of right answers of late."""
        return sum(self.recent) / max(1, len(self.recent))

    def tell(self, step: int, at: int, right: list[bool]) -> None:
        """Take note of a step's answers, and climb."""
        if at == self.rung:
            self.recent.extend(right)
        if self.rung + 1 == len(self.course.rungs):
            return
        earned = len(self.recent) == self.course.window and self.accuracy > self.course.promote
        if earned or step + 1 >= self.course.rungs[self.rung].until * self.course.steps:
            self.climbed.append([step + 1, int(earned)])
            self.rung += 1
            self.recent.clear()

    def state(self) -> dict:
        """Return what to resume from."""
        return {"rung": self.rung, "recent": list(self.recent), "climbed": self.climbed}


def train(experiment: Experiment, job: Job, features: Callable[[], list[PoolFeatures]]) -> None:
    """Train a job's model to its end; `features` are asked for only if there is something to train."""
    folder = experiment.checkpoint(job)
    told = {"job": job.name, "course": dataclasses.asdict(experiment.course), "encoder_from": experiment.encoder_from}
    encoders = checkpoint.locate(experiment.encoder_from) / "model.safetensors"
    told["encoders"] = sha256(encoders.read_bytes()).hexdigest()[:12]
    told["model"] = written(experiment.model_of(job))
    journal = Journal(folder, json.dumps(told, sort_keys=True))
    model = new_model(experiment, job)
    if journal.state["stage"] == "reader":
        model.load_state_dict(journal.state["model"])
    ladder = StageTracker(experiment, journal.state)
    seconds = _train(experiment, job, model, journal, ladder, features())
    checkpoint.save(model, folder)
    summary = {
        **told, "scheme": job.scheme, "budget": job.budget.tokens, "seed": job.seed, "cpu_seconds": round(seconds, 1),
        "seconds": round(journal.seconds, 1), "climbed": ladder.climbed, "accuracy": round(ladder.accuracy, 4),
        "parameters": sum(one.numel() for one in _trained(model)), "torch": torch.__version__,
    }  # fmt: skip
    replace_file(folder / "train.json", json.dumps(summary, indent=1) + "\n")
    journal.done()


def new_model(experiment: Experiment, job: Job) -> Vilamp:
    """Return a job's model before training: connectors and language model begin alike for all schemes of a seed."""
    torch.manual_seed(job.seed)  # the initial weights, a scheme's own last; every later draw is named
    model = Vilamp(experiment.model_of(job), Vocabulary(data.extended_vocabulary_words()))
    copy_encoders(model, experiment.encoder_from)
    model.eval().requires_grad_(False)
    for parameter in _trained(model):
        parameter.requires_grad_(True)
    return model.to(experiment.device)


def _trained(model: Vilamp) -> list[torch.nn.Parameter]:
    """Return what is trained: connectors, language model, and what the scheme has of its own."""
    parts = [model.keyframe_connector, model.merged_connector, model.language]
    own = [model.scheme] if isinstance(model.scheme, torch.nn.Module) else []
    return [parameter for part in (*parts, *own) for parameter in part.parameters()]


def _train(
    experiment: Experiment, job: Job, model: Vilamp, journal: Journal, ladder: StageTracker, pools: list[PoolFeatures]
) -> float:
    """Take the steps that are left; return the seconds of processor time of all attempts."""
    course, state, trained = experiment.course, journal.state, _trained(model)
    optimizer = torch.optim.AdamW(trained, lr=course.rate, weight_decay=0.01)
    if "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])
    began = time.process_time() - state.get("cpu", 0.0)
    start = state["step"]
    progress = tqdm(range(start, course.steps), initial=start, total=course.steps, desc=job.name, unit="step")
    for step in progress:
        at, drawn = draw_examples(course, job.seed, step, ladder.rung)
        batch = [made for one in drawn for made in build_examples(model, pools[one.world], one, course)]
        loss, tracing, right = batch_loss(model, batch)
        whole = loss + course.tracing * tracing
        if course.alignment:
            rng = random.Random(f"compression/{job.seed}/{step}/alignment")
            whole = whole + course.alignment * alignment_loss(model, pools[rng.randrange(len(pools))], rng)
        optimizer_step(optimizer, whole, trained, hold_then_cool(course, step))
        ladder.tell(step, at, right)
        if step % PLOTTED == 0:
            plotted = {"accuracy": ladder.accuracy, "length": course.rungs[ladder.rung].length}
            journal.plot("reader", step, {"loss": loss.item(), **plotted})
            progress.set_postfix(right=f"{ladder.accuracy:.2f}", rung=ladder.rung)
        if step % SAVED == SAVED - 1:
            states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            journal.save("reader", step + 1, cpu=time.process_time() - began, **ladder.state(), **states)
    return time.process_time() - began


def hold_then_cool(course: Curriculum, step: int) -> float:
    """Return the learning rate of a step: warm-up over 100, then all of it, and down to a twentieth at the end.

    It falls only over the last `cooling` of the steps: the longest haystacks come late, and must be learned too.
    """
    warm, left = (step + 1) / 100, (course.steps - step) / (course.cooling * course.steps)
    return course.rate * min(1.0, warm, max(0.05, left))


def read_summary(folder: Path) -> dict | None:
    """Return what a finished training says of itself, or None where a folder holds none."""
    path = folder / "train.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
