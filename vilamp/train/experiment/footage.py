"""The experiment's training footage behind the frozen encoders: made once, kept in files, shared by all trainings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from niah.io import replacing
from niah.suite.footage.clips import draw_clip
from niah.suite.footage.scenes import FOOTAGE_VERSION
from vilamp.encoders import encoders_id
from vilamp.model import Vilamp
from vilamp.train import data
from vilamp.train.experiment.config import Experiment
from vilamp.train.experiment.questions import questions
from vilamp.train.reader import PoolFeatures, encode_pool
from vilamp.train.training import copy_encoders
from vilamp.vocabulary import Vocabulary


def load_features(experiment: Experiment) -> list[PoolFeatures]:
    """Return the features of every world, from the files of an earlier call where they fit; 13 KB a frame in memory."""
    torch.manual_seed(0)  # of parts that are overwritten or not used
    model = Vilamp(experiment.model, Vocabulary(data.extended_vocabulary_words()))
    copy_encoders(model, experiment.encoder_from)
    model.eval().requires_grad_(False)
    worlds = [f"train/{experiment.name}/{number}" for number in range(experiment.course.worlds)]
    return [_world(experiment, model, world) for world in tqdm(worlds, desc="footage", unit="world")]


def _world(experiment: Experiment, model: Vilamp, world: str) -> PoolFeatures:
    """Return the features of one world."""
    course = experiment.course
    drawn = f"footage-{FOOTAGE_VERSION} {world} {course.haystack} {course.clips} {','.join(course.types)}"
    made_from = f"{drawn} {encoders_id(model.clip, model.vision)} {data.codec_name()}"
    path = Path(experiment.output) / "features" / f"{world.rpartition('/')[2]}.pt"
    if path.is_file():
        stored = torch.load(path, weights_only=True)
        if stored["made_from"] == made_from:
            return _restored(model, world, course.clips, course.types, stored)
    features = encode_pool(model, data.build_pool(world, course.haystack, course.clips, course.types))
    pool = features.pool
    features = dataclasses.replace(features, queries=_queries(model, pool))
    stored = {
        "made_from": made_from,
        "embeddings": features.embeddings,
        "patches": features.patches,
        "labels": torch.from_numpy(pool.labels),
        "haystack": pool.haystack,
        "starts": list(pool.starts),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        torch.save(stored, temporary)
    return features


def _restored(model: Vilamp, world: str, clips: int, types: tuple[str, ...], stored: dict) -> PoolFeatures:
    """Return stored features; the clips' questions are drawn again, which takes no pixel."""
    drawn = tuple(draw_clip(world, f"clip-{number}", types[number % len(types)]) for number in range(clips))
    pool = data.Pool(
        world, np.zeros((0,)), stored["labels"].numpy(), stored["haystack"], drawn, tuple(stored["starts"])
    )
    return PoolFeatures(pool, stored["embeddings"], stored["patches"], _queries(model, pool))


@torch.no_grad()
def _queries(model: Vilamp, pool: data.Pool) -> dict[str, torch.Tensor]:
    """Return what CLIP makes of every question that a clip is asked."""
    asked = sorted({one.text for made in pool.clips for one in questions(made)})
    return dict(zip(asked, model.encode_queries(asked), strict=True))
