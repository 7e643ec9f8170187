"""A reader probe for each scheme: is the answer still in what compression left, whoever could read it?

Told where the needle lies, it sees only what the scheme left of the needle's frames (of `summary`, the last states of
the summary tokens). It is trained on the experiment's own examples, for as many steps with every scheme.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from vilamp import checkpoint
from vilamp.model import Vilamp
from vilamp.train.experiment.config import Experiment, Job
from vilamp.train.experiment.examples import ExampleSpec, choose_frames, draw_examples, frame_order
from vilamp.train.experiment.questions import questions
from vilamp.train.probe.model import FILE, NeedleTokens, needle_tokens, save
from vilamp.train.probe.train import ANSWERS, fit
from vilamp.train.reader import PoolFeatures

VIDEOS = 8  # a step


def train_probe(experiment: Experiment, job: Job, features: Callable[[], list[PoolFeatures]]) -> None:
    """Train the probe of a job's checkpoint, unless it is there."""
    folder = experiment.checkpoint(job)
    if (folder / FILE).is_file():
        return
    model, weights_id = checkpoint.load(folder)
    model.requires_grad_(False)
    pools = features()

    @torch.no_grad()
    def batch(step: int) -> list[tuple[NeedleTokens, int]]:
        return [pair for one in probe_specs(experiment, step) for pair in needle_examples(model, pools[one.world], one)]

    save(fit(model, experiment.probe_steps, batch, f"probe of {job.name}"), folder, weights_id)


def probe_specs(experiment: Experiment, step: int) -> list[ExampleSpec]:
    """Return the videos of a step, of all lengths; no scheme and no seed of a training decides on them."""
    course, made, number = experiment.course, [], 0
    while len(made) < VIDEOS:
        _, more = draw_examples(course, -1, VIDEOS * step + number, len(course.rungs) - 1)
        made += more
        number += 1
    return made[:VIDEOS]


def needle_examples(model: Vilamp, features: PoolFeatures, drawn: ExampleSpec) -> list[tuple[NeedleTokens, int]]:
    """Return for each question of a video what is left of its needle, and the place of the answer in ANSWERS."""
    clip, scheme = features.pool.clips[drawn.clip], model.compressor
    order, before = frame_order(features, drawn)
    made, stream = [], None
    for asked in questions(clip):
        query = features.queries[asked.text]
        if stream is None or scheme.guided:
            choice, chunks = choose_frames(scheme, features, order, query)
            stream = model.compressed_tokens(choice, query, chunks)
        left = needle_tokens(stream, before, before + clip.count, query)
        made.append((left, ANSWERS.index(asked.answer)))
    return made
