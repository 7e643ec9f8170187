"""Training footage by the rules of suite version 2, behind the frozen encoders: encoded once, then read from files.

Scenes are as long as clips, clips begin where a scene does, and a video shows decoys: scenes with the target's look but
without the answer, and clips about similar looks. Decoys are drawn for each look and type, and shared by its clips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from niah.io import replacing
from niah.suite.footage.clips import CLIP_FRAMES, DrawnClip
from niah.suite.footage.decoys import decoy
from niah.suite.footage.draw import Look
from niah.suite.footage.scenes import Scene, draw_scenes, reserved_looks, scene_cuts
from vilamp.encoders import encoders_id
from vilamp.model import Vilamp
from vilamp.train import data
from vilamp.train.micro.config import MicroConfig
from vilamp.train.reader import FRAMES_PER_BATCH

VERSION = 2  # of the suite rules that the footage follows
Span = tuple[int, int]  # frames of a world's file: the first, and the one after the last


@dataclass(frozen=True, eq=False)
class World:
    """The features of a world's footage: a haystack, then clips, then decoys; 13 KB a frame, mapped from a file."""

    embeddings: Float[Tensor, "frames dim"]
    patches: Float[Tensor, "frames patches dim"]  # half precision, as in the adapter's feature store
    haystack: int  # frames
    cuts: tuple[int, ...]  # frames of the haystack at which scenes begin, without the first
    clips: tuple[DrawnClip, ...]
    spans: tuple[Span, ...]  # of the clips
    decoys: dict[tuple[str, Look], tuple[Span, ...]]  # by question type and target


def load_worlds(config: MicroConfig, model: Vilamp) -> list[World]:
    """Return all worlds, those of which no file holds the features encoded first."""
    folder = Path(config.output) / "footage"
    names = [f"train/{VERSION}:{config.name}/{number}" for number in range(config.worlds)]
    return [_load_world(config, model, name, folder) for name in tqdm(names, desc="footage", unit="world")]


def _load_world(config: MicroConfig, model: Vilamp, name: str, folder: Path) -> World:
    """Return one world."""
    path = folder / f"{name.rpartition('/')[2]}.pt"
    clips = data.draw_clips(name, config.clips, config.types)
    keys = [(kind, look) for kind in config.types for look in reserved_looks(name)]
    decoys = {
        (kind, look): [decoy(name, f"{kind}-{look}", number, kind, look) for number in range(config.decoys)]
        for kind, look in keys
    }
    scenes = [*(clip.scene for clip in clips), *(one for key in keys for one in decoys[key])]
    made_from = (
        f"{name} {config.haystack} {config.clips} {config.decoys} {','.join(config.types)} "
        f"{encoders_id(model.clip, model.vision)} {data.codec_name()}"
    )
    stored = _read(path, made_from)
    if stored is None:
        frames = [_haystack(name, config.haystack), *(scene.frames() for scene in scenes)]
        _write(path, {"made_from": made_from, **_encode(model, np.concatenate(frames))})
        stored = _read(path, made_from)
        assert stored is not None
    spans = _spans(config.haystack, scenes)
    return World(
        embeddings=stored["embeddings"],
        patches=stored["patches"],
        haystack=config.haystack,
        cuts=scene_cuts(name, "haystack", config.haystack, CLIP_FRAMES),
        clips=clips,
        spans=tuple(spans[: len(clips)]),
        decoys={key: tuple(spans[len(clips) + config.decoys * row :][: config.decoys]) for row, key in enumerate(keys)},
    )


def _spans(start: int, scenes: list[Scene]) -> list[Span]:
    """Return where each scene lies if they follow one another from frame `start`."""
    stops = start + np.cumsum([scene.count for scene in scenes])
    return [(int(stop) - scene.count, int(stop)) for stop, scene in zip(stops, scenes, strict=True)]


def _haystack(name: str, frames: int) -> np.ndarray:
    """Return the first frames of a haystack, (frames, 64, 64, 3) uint8."""
    pieces: list[np.ndarray] = []
    for scene in draw_scenes(name, "haystack", CLIP_FRAMES):
        pieces.append(scene.frames())
        if sum(map(len, pieces)) >= frames:
            break
    return np.concatenate(pieces)[:frames]


@torch.inference_mode()
def _encode(model: Vilamp, frames: np.ndarray) -> dict[str, Tensor]:
    """Return the features of frames that passed through the codec."""
    embeddings, patches = [], []
    for batch in _batches(data.through_codec(frames)):
        one, other = model.encode_frames(torch.from_numpy(np.stack(batch)))
        embeddings.append(one.half().float())
        patches.append(other.half())
    return {"embeddings": torch.cat(embeddings), "patches": torch.cat(patches)}


def _batches(frames: Iterator[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Yield frames in batches."""
    batch: list[np.ndarray] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == FRAMES_PER_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _read(path: Path, made_from: str) -> dict[str, Any] | None:
    """Return what a file holds, mapped into memory, or None unless it was made from the same."""
    if not path.is_file():
        return None
    stored = torch.load(path, weights_only=True, mmap=True)
    return stored if stored["made_from"] == made_from else None


def _write(path: Path, stored: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        torch.save(stored, temporary)
