"""Merged tokens of clips, out of the store where it has them, made and stored where it has not.

A clip is named by the keys of its four frames, so a haystack's clips before the needle serve every case in
which the same frames are sampled; behind the needle they do so where the needle moves clips by whole clips.
Each clip is encoded alone, so that its tokens are the same bits whether made now or found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from baselines.videochat_flash.model import VideoChatFlash
from baselines.videochat_flash.pixels import prepare
from niah.adapters.feature_store import FeatureStore
from niah.types import FrameKey, Video

DECODED = 16  # clips whose frames are decoded together and held: 64 frames of 3 bytes a pixel


class ClipFeatures:
    """Clips of frames to merged tokens. `store`, if any, holds one model's clips: models must not share it."""

    def __init__(self, model: VideoChatFlash, store: FeatureStore | None) -> None:
        self.model, self.store = model, store

    @torch.inference_mode()
    def of(self, video: Video, indices: Sequence[int]) -> Iterator[tuple[Tensor, bool]]:
        """Yield (16 * frames, tower width) tokens of one clip after another, and whether they came from the store.

        Holds the frames of 16 clips, and the pixels and patches of one. Raises ValueError where `indices` make
        no whole clips.
        """
        size = self.model.config.tower.clip_frames
        if len(indices) % size:
            raise ValueError(f"clips are of {size} frames, got {len(indices)} frames")
        keys = video.keys(0, len(video))
        clips = [tuple(indices[start : start + size]) for start in range(0, len(indices), size)]
        for start in range(0, len(clips), DECODED):
            part = clips[start : start + DECODED]
            found = [self._stored(tuple(keys[index] for index in clip)) for clip in part]
            missing = [clip for clip, tokens in zip(part, found, strict=True) if tokens is None]
            frames = iter(self._frames(video, missing))
            for clip, tokens in zip(part, found, strict=True):
                if tokens is None:
                    yield self._encode(tuple(keys[index] for index in clip), next(frames)), False
                else:
                    yield tokens, True

    @torch.inference_mode()
    def assemble(self, ids: Sequence[int], video: Video, shown: Sequence[int]) -> tuple[Tensor, range, int]:
        """Return a prompt's embeddings (tokens, width), where visual tokens lie, and how many frames were stored."""
        size = self.model.config.tower.clip_frames
        reused: set[int] = set()

        def clips() -> Iterator[Tensor]:
            for number, (tokens, found) in enumerate(self.of(video, shown)):
                reused.update(shown[number * size : (number + 1) * size] if found else ())
                yield tokens

        embeds, visual = self.model.assemble(ids, clips(), len(shown) // size)
        return embeds, visual, len(reused)

    def _stored(self, key: tuple[FrameKey, ...]) -> Tensor | None:
        """Return a clip's tokens, on the CPU, where the store has them."""
        found = None if self.store is None else self.store.get(key)
        return None if found is None else torch.from_numpy(found.copy()).view(self.model.dtype)  # a writable copy

    def _frames(self, video: Video, clips: list[tuple[int, ...]]) -> np.ndarray:
        """Return (clips, frames, height, width, 3) uint8; a frame that a short video repeats is decoded once."""
        if not clips:
            return np.empty((0, 0), np.uint8)
        wanted = sorted({index for clip in clips for index in clip})
        place = {index: number for number, index in enumerate(wanted)}
        return video.frames(wanted)[[[place[index] for index in clip] for clip in clips]]

    def _encode(self, key: tuple[FrameKey, ...], frames: np.ndarray) -> Tensor:
        """Encode one clip, and store its bits, as numpy has no bfloat16."""
        pixels = prepare(frames, self.model.config.tower.image_size, self.model.device)
        tokens = self.model.encode(pixels[None])[0].contiguous()  # (16 * frames, tower width)
        if self.store is not None:
            self.store.put(key, tokens.cpu().view(torch.uint8).numpy())
        return tokens
