"""The frames of one video, read in temporal order, become tokens: the loop around the composer.

Every chunk of patches is read once and dropped; what outlives it are the maps of frames
that are anchors, for as long as a later frame is compared with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from niah.adapters.compressor import TokenChunk
from niah.types import UserError
from vilamp.merge import anchors
from vilamp.release.composer import Hidden

if TYPE_CHECKING:  # the model calls this file
    from vilamp.release.model import ReleasedVilamp

CLIP_ROWS = 1024  # embeddings that become tokens at a time


def stream_tokens(
    model: ReleasedVilamp,
    kept: Sequence[int],
    embeddings: Float[Tensor, "frames clip"],
    query: Float[Tensor, " clip"] | None,
    chunks: Iterable[Float[Tensor, "_frames patches dim"]],
) -> Iterator[TokenChunk]:
    """Yield the tokens of stretches of frames in temporal order; for the arguments see `ReleasedVilamp.tokens`."""
    count, keyframes = len(embeddings), set(kept)
    if model.behaviour.composer == "single_token":
        yield from _stream_embeddings(model, keyframes, embeddings, chunks)
        return
    if model.behaviour.legacy_mask:
        chunks = _masked(model, keyframes, count, chunks)
    merger = Merger(model, kept, count, query)
    start = 0
    for patches in chunks:
        hidden = model.compose.hidden(patches)
        merger.keep_anchors(start, patches, hidden)
        for is_keyframe, frames in _stretches(range(start, start + len(patches)), keyframes):
            part = slice(frames.start - start, frames.stop - start)
            if is_keyframe:
                tokens = model.compose.keyframe_tokens(hidden[part])  # (frames, tokens, width)
                yield TokenChunk([n for n in frames for _ in range(tokens.shape[1])], tokens.flatten(0, 1))
            else:
                yield TokenChunk(frames, merger.merge(frames, patches[part], hidden[part]))
        start += len(patches)


def _stream_embeddings(
    model: ReleasedVilamp,
    keyframes: set[int],
    embeddings: Float[Tensor, "frames clip"],
    chunks: Iterable[Float[Tensor, "_frames patches dim"]],
) -> Iterator[TokenChunk]:
    """Yield tokens where a frame that is no keyframe becomes one of its CLIP embedding; `chunks` are of keyframes."""
    assert model.composer is not None  # built with it
    patches = _one_by_one(chunks)
    for is_keyframe, frames in _stretches(range(len(embeddings)), keyframes):
        if is_keyframe:
            for n in frames:
                tokens = model.compose.keyframe_tokens(model.compose.hidden(next(patches)[None]))[0]
                yield TokenChunk([n] * len(tokens), tokens)
        else:
            for start in range(frames.start, frames.stop, CLIP_ROWS):
                part = range(start, min(start + CLIP_ROWS, frames.stop))
                yield TokenChunk(part, model.composer(embeddings[part.start : part.stop]))


def _masked(
    model: ReleasedVilamp, keyframes: set[int], count: int, chunks: Iterable[Float[Tensor, "_frames patches dim"]]
) -> Iterator[Float[Tensor, "1 patches dim"]]:
    """Yield the patches of every frame under the old mask: all but the keyframes are one grey picture."""
    side = model.config.siglip_picture.side
    grey = model.encode_patches(model.image_newline.new_zeros(1, 3, side, side))
    patches = _one_by_one(chunks)
    for n in range(count):
        yield next(patches)[None] if n in keyframes else grey


class Merger:
    """Merges the frames of one video that are no keyframes, in temporal order (Eq. 5-10)."""

    def __init__(
        self, model: ReleasedVilamp, kept: Sequence[int], count: int, query: Float[Tensor, " clip"] | None
    ) -> None:
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

    def keep_anchors(self, start: int, patches: Float[Tensor, "frames patches dim"], hidden: Hidden) -> None:
        """Keep the maps of those frames of a chunk that are anchors, and forget those that were."""
        for n in [n for n in self.maps if self.last_use[n] < start]:
            del self.maps[n]
        for n in range(start, start + len(patches)):
            if n in self.last_use:
                part = slice(n - start, n - start + 1)
                self.maps[n] = self.compose.map_anchor(patches[part], hidden[part])[0].clone()  # not its whole chunk

    def merge(
        self, frames: range, patches: Float[Tensor, "frames patches dim"], hidden: Hidden
    ) -> Float[Tensor, "frames width"]:
        """Return one token for each of some frames in a row."""
        if self.averages:
            return self.compose.mean(hidden)
        relevance, redundancy = self.saliency(frames, patches, hidden)
        saliency = relevance - self.behaviour.redundancy_weight * redundancy
        return self.compose.merge(patches, hidden, saliency)

    def saliency(
        self, frames: range, patches: Float[Tensor, "frames patches dim"], hidden: Hidden
    ) -> tuple[Float[Tensor, "frames patches"], Float[Tensor, "frames patches"]]:
        """Return R and T of some frames in a row."""
        assert self.query is not None  # __init__ saw to it
        relevance = self.compose.relevance(patches, hidden, self.query)
        redundancy = [
            self.compose.redundancy(
                patches[run.start - frames.start : run.stop - frames.start],
                hidden[run.start - frames.start : run.stop - frames.start],
                self.maps[anchor] if anchor >= 0 else None,
            )
            for anchor, run in _same_anchor(frames, self.anchors)
        ]
        return relevance, torch.cat(redundancy)


def _one_by_one(
    chunks: Iterable[Float[Tensor, "_frames patches dim"]],
) -> Iterator[Float[Tensor, "patches dim"]]:
    """Yield the frames of chunks."""
    for chunk in chunks:
        yield from chunk


def _stretches(frames: range, keyframes: set[int]) -> Iterator[tuple[bool, range]]:
    """Yield the stretches of keyframes and of other frames."""
    for is_key, group in groupby(frames, key=lambda n: n in keyframes):
        run = list(group)
        yield is_key, range(run[0], run[-1] + 1)


def _same_anchor(frames: range, anchor_of: Sequence[int]) -> Iterator[tuple[int, range]]:
    """Yield the stretches of frames that share their anchor."""
    for anchor, group in groupby(frames, key=lambda n: anchor_of[n]):
        run = list(group)
        yield anchor, range(run[0], run[-1] + 1)
