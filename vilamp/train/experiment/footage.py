"""The experiment's training footage behind the frozen encoders: encoded once, kept in files, used by all trainings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from niah.io import replacing
from niah.suite.footage.scenes import FOOTAGE_VERSION
from vilamp.encoders import encoders_id
from vilamp.model import Vilamp
from vilamp.train import data
from vilamp.train.experiment.config import Curriculum, Experiment
from vilamp.train.experiment.examples import questions
from vilamp.train.reader import PoolFeatures, encode_pool
from vilamp.train.training import copy_encoders
from vilamp.vocabulary import Vocabulary


def load_features(experiment: Experiment) -> list[PoolFeatures]:
    """Return the features of every world, from an earlier call's files where these fit; 13 KB a frame in memory."""
    torch.manual_seed(0)  # for parts that are overwritten or not used
    model = Vilamp(experiment.model, Vocabulary(data.extended_vocabulary_words()))
    copy_encoders(model, experiment.encoder_from)
    model.eval().requires_grad_(False)
    worlds = [f"train/{experiment.name}/{number}" for number in range(experiment.course.worlds)]
    return [_load_world(experiment, model, world) for world in tqdm(worlds, desc="footage", unit="world")]


def _load_world(experiment: Experiment, model: Vilamp, world: str) -> PoolFeatures:
    """Return the features of one world, encoded and saved unless a file has them."""
    curriculum = experiment.course
    path = Path(experiment.output) / "features" / f"{world.rpartition('/')[2]}.pt"
    made_from = (
        f"footage-{FOOTAGE_VERSION} {world} {curriculum.haystack} {curriculum.clips} {','.join(curriculum.types)} "
        f"{encoders_id(model.clip, model.vision)} {data.codec_name()}"
    )
    if path.is_file():
        stored = torch.load(path, weights_only=True)
        if stored["made_from"] == made_from:
            return _restore(model, world, curriculum, stored)
    pool = data.build_pool(world, curriculum.haystack, curriculum.clips, curriculum.types)
    features = encode_pool(model, pool)
    features = dataclasses.replace(features, queries=_encode_questions(model, features.pool))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        torch.save(_to_store(features, made_from), temporary)
    return features


def _to_store(features: PoolFeatures, made_from: str) -> dict[str, Any]:
    """Return what a world's file holds."""
    pool = features.pool
    return {
        "made_from": made_from,
        "embeddings": features.embeddings,
        "patches": features.patches,
        "labels": torch.from_numpy(pool.labels),
        "haystack": pool.haystack,
        "starts": list(pool.starts),
    }


def _restore(model: Vilamp, world: str, curriculum: Curriculum, stored: dict[str, Any]) -> PoolFeatures:
    """Return stored features; the clips' questions are drawn again, which takes no pixel."""
    clips = data.draw_clips(world, curriculum.clips, curriculum.types)
    without_pixels = np.zeros((0,))
    pool = data.Pool(
        world, without_pixels, stored["labels"].numpy(), stored["haystack"], clips, tuple(stored["starts"])
    )
    return PoolFeatures(pool, stored["embeddings"], stored["patches"], _encode_questions(model, pool))


@torch.no_grad()
def _encode_questions(model: Vilamp, pool: data.Pool) -> dict[str, Float[Tensor, " dim"]]:
    """Return CLIP's embedding of every question that a clip is asked, by its text."""
    texts = sorted({question.text for clip in pool.clips for question in questions(clip)})
    return dict(zip(texts, model.encode_queries(texts), strict=True))
