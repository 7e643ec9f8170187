"""The frames of one video, met in playing order, become tokens: the loop around the composer.

Every chunk of patches is read once and dropped; what outlives it are the maps of frames
that are anchors, for as long as a later frame is compared with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from niah.types import UserError
from vilamp.merge import anchors

if TYPE_CHECKING:  # the model calls this file
    from vilamp.release.model import ReleasedVilamp

CLIP_ROWS = 1024  # embeddings that become tokens at a time


def token_runs(
    model: ReleasedVilamp,
    kept: Sequence[int],
    embeddings: Tensor,
    query: Tensor | None,
    chunks: Iterable[Tensor],
) -> Iterator[Tensor]:
    """Yield the tokens of runs of frames in playing order, (tokens, width)."""
    count, keyframes = len(embeddings), set(kept)
    if model.behaviour.composer == "single_token":
        assert model.composer is not None  # built with it
        keys = _one_by_one(chunks)
        for is_key, frames in _runs(range(count), keyframes):
            if is_key:
                yield from (_keyframe(model, next(keys)) for _ in frames)
            else:
                yield from map(model.composer, embeddings[frames.start : frames.stop].split(CLIP_ROWS))
        return
    if model.behaviour.legacy_mask:
        chunks = _masked(model, keyframes, count, chunks)
    merger = Merger(model, kept, count, query)
    for start, patches in _counted(chunks):
        hidden = model.compose.hidden(patches)
        merger.meet(start, patches, hidden)
        for is_key, frames in _runs(range(start, start + len(patches)), keyframes):
            part = slice(frames.start - start, frames.stop - start)
            if is_key:
                yield model.compose.keyframe_tokens(hidden[part]).flatten(0, 1)
            else:
                yield merger.merge(frames, patches[part], hidden[part])


def _keyframe(model: ReleasedVilamp, patches: Tensor) -> Tensor:
    """Return the tokens of one keyframe, (tokens, width)."""
    return model.compose.keyframe_tokens(model.compose.hidden(patches[None]))[0]


def _masked(model: ReleasedVilamp, keyframes: set[int], count: int, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield the patches of every frame under the old mask: all but the keyframes are one grey picture."""
    side = model.config.siglip_picture.side
    grey = model.encode_patches(model.image_newline.new_zeros(1, 3, side, side))
    keys = _one_by_one(chunks)
    for n in range(count):
        yield next(keys)[None] if n in keyframes else grey


class Merger:
    """Merges the frames of one video that are no keyframes, met in playing order (Eq. 5-10)."""

    def __init__(self, model: ReleasedVilamp, kept: Sequence[int], count: int, query: Tensor | None) -> None:
        self.compose, self.behaviour = model.compose, model.behaviour
        self.averages = self.behaviour.composer == "average_pooling"
        self.anchors = anchors(kept, count, self.behaviour.anchor == "frame_number")
        keyframes = set(kept)
        merged = [(n, a) for n, a in enumerate(self.anchors) if n not in keyframes]
        self.last_use = {a: n for n, a in merged} if not self.averages else {}
        self.maps: dict[int, Tensor] = {}  # (patches, width) of anchors still needed
        self.query = None
        if merged and not self.averages:
            if query is None:
                raise UserError("merging frames needs a query; without one every frame must be kept")
            self.query = self.compose.map_query(query)

    def meet(self, start: int, patches: Tensor, hidden: Tensor) -> None:
        """Keep the maps of those frames of a chunk that are anchors, and forget those that were."""
        for n in [n for n in self.maps if self.last_use[n] < start]:
            del self.maps[n]
        for n in range(start, start + len(patches)):
            if n in self.last_use:
                part = slice(n - start, n - start + 1)
                self.maps[n] = self.compose.map_anchor(patches[part], hidden[part])[0].clone()  # not its whole chunk

    def merge(self, frames: range, patches: Tensor, hidden: Tensor) -> Tensor:
        """Return one token for each of a run of frames, (frames, width)."""
        if self.averages:
            return self.compose.mean(hidden)
        relevance, redundancy = self.saliency(frames, patches, hidden)
        saliency = relevance - self.behaviour.redundancy_weight * redundancy
        return self.compose.merge(patches, hidden, saliency)

    def saliency(self, frames: range, patches: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return R and T of a run of frames, (frames, patches) each."""
        assert self.query is not None  # __init__ saw to it
        relevance = self.compose.relevance(patches, hidden, self.query)
        redundancy = [
            self.compose.redundancy(
                patches[run.start - frames.start : run.stop - frames.start],
                hidden[run.start - frames.start : run.stop - frames.start],
                self.maps[anchor] if anchor >= 0 else None,
            )
            for anchor, run in _same(frames, self.anchors)
        ]
        return relevance, torch.cat(redundancy)


def _counted(chunks: Iterable[Tensor]) -> Iterator[tuple[int, Tensor]]:
    """Yield each chunk with the number of its first frame."""
    start = 0
    for chunk in chunks:
        yield start, chunk
        start += len(chunk)


def _one_by_one(chunks: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield the frames of chunks."""
    for chunk in chunks:
        yield from chunk


def _runs(frames: range, keyframes: set[int]) -> Iterator[tuple[bool, range]]:
    """Yield the stretches of keyframes and of other frames."""
    for is_key, group in groupby(frames, key=lambda n: n in keyframes):
        run = list(group)
        yield is_key, range(run[0], run[-1] + 1)


def _same(frames: range, anchor_of: Sequence[int]) -> Iterator[tuple[int, range]]:
    """Yield the stretches of frames that share their anchor."""
    for anchor, group in groupby(frames, key=lambda n: anchor_of[n]):
        run = list(group)
        yield anchor, range(run[0], run[-1] + 1)
