"""ViLaMP as an adapter of the harness.

Frames are encoded in chunks aligned to their source, each frame always in the
same slot of a batch of the same shape, so that its features are the same bits
whether they were made for this case or found in the store.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from itertools import groupby

import numpy as np
import torch

from niah.store import FeatureStore
from niah.types import FrameKey, Question, Reply, Video
from vilamp import weights
from vilamp.model import Vilamp
from vilamp.prompt import cloze

CHUNK = 64  # frames a batch


class VilampAdapter:
    """Scores the options' words after the video and the question; keeps nothing but keyed features."""

    def __init__(self, model: Vilamp, weights_id: str, store: FeatureStore) -> None:
        self.model, self.weights_id, self.store = model, weights_id, store

    @torch.inference_mode()
    def answer(self, video: Video, question: Question) -> Reply:
        """Return the likeliest option, its rivals' scores, and what it cost."""
        device = self.model.device
        on_gpu = device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        waited, began = video.decode_seconds, self._clock()
        keys, encoded = video.keys(0, len(video)), 0
        frames = []
        for embeddings, fresh in self._features(video, keys, "embedding"):
            frames.append(torch.from_numpy(embeddings).to(device, torch.float32))
            encoded += fresh
        encode_end, decoding = self._clock(), video.decode_seconds - waited
        query = self.model.encode_query(question.text)
        frames = torch.nn.functional.normalize(torch.cat(frames), dim=-1) if frames else query.new_zeros(0, len(query))
        kept = self.model.select(frames, query)
        select_end = self._clock()
        patches = (torch.from_numpy(found).to(query) for found, _ in self._features(video, keys, "patches"))
        visual = self.model.compress(kept, query, patches)
        merge_end, waited = self._clock(), video.decode_seconds - waited
        prompt = self.model.vocabulary.encode(cloze(question))
        cache, first = self.model.prefill(visual.embeddings, prompt)
        first = first.cpu()
        first_token = self._clock()
        scores = [self.model.score(cache, first, self.model.vocabulary.encode(text)) for text in question.options]
        return Reply(
            text=question.options[int(np.argmax(scores))],
            option_scores=tuple(scores),
            mode="likelihood",
            frames_used=tuple(range(len(video))),
            frames_kept=tuple(kept),
            seconds={
                "decode": waited,
                "encode": encode_end - began - decoding,
                "select": select_end - encode_end,
                "merge": merge_end - select_end - (waited - decoding),  # the store may have forgotten patches
                "prefill": first_token - merge_end,
                "options": self._clock() - first_token,
            },
            seconds_to_first_token=first_token - began - waited,
            peak_allocated_bytes=torch.cuda.max_memory_allocated() if on_gpu else None,
            peak_reserved_bytes=torch.cuda.max_memory_reserved() if on_gpu else None,
            language_tokens=len(visual.embeddings) + len(prompt),
            reused_frames=len(video) - encoded,
        )

    def score(self, video: Video, question: Question) -> tuple[float, ...]:
        """Return the mean log-probability of each option's tokens."""
        scores = self.answer(video, question).option_scores
        assert scores is not None  # answer() always gives them
        return scores

    def _clock(self) -> float:
        """Return the time once the device has done what it was given, in seconds."""
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)
        return time.perf_counter()

    def _features(self, video: Video, keys: list[FrameKey], kind: str) -> Iterator[tuple[np.ndarray, int]]:
        """Yield one kind of feature of all frames, a chunk at a time, and how many had to be encoded."""
        for _, group in groupby(range(len(keys)), key=lambda n: (keys[n].source, keys[n].number // CHUNK)):
            indices = list(group)
            found = [self.store.get((keys[n], kind + self.weights_id)) for n in indices]
            missing = [n for n, features in zip(indices, found, strict=True) if features is None]
            if missing:
                fresh = self._encode(video, keys, missing, kind)
                found = [fresh.get(n, old) for n, old in zip(indices, found, strict=True)]
            yield np.stack(found), len(missing)  # type: ignore[arg-type]

    def _encode(self, video: Video, keys: list[FrameKey], indices: list[int], kind: str) -> dict[int, np.ndarray]:
        """Encode frames of one chunk in their fixed slots, store both kinds, return the one asked for."""
        slots = torch.tensor([keys[n].number % CHUNK for n in indices])
        prepared = self.model.prepare(torch.from_numpy(video.frames(indices)))
        batches = [part.new_zeros((CHUNK, *part.shape[1:])).index_copy(0, slots, part) for part in prepared]
        kinds = ("embedding", "patches")
        made = [features.cpu().numpy().astype(np.float16) for features in self.model.encode(*batches)]
        for n in indices:
            for name, features in zip(kinds, made, strict=True):
                self.store.put((keys[n], name + self.weights_id), features[keys[n].number % CHUNK])
        return {n: made[kinds.index(kind)][keys[n].number % CHUNK] for n in indices}


def load(
    pretrained: str = "micro",
    device: str = "cpu",
    store_gib: float = 1.0,
    store_disk_gib: float = 8.0,
    keyframes: int | None = None,
    seed: int = 0,
) -> VilampAdapter:
    """Load a checkpoint: a shipped name or a folder. `keyframes` overrides its K; `seed` changes nothing here."""
    del seed  # greedy from end to end; taken because the runner hands it to every adapter
    folder = weights.locate(pretrained)
    model, weights_id = weights.load(folder, keyframes)
    store = FeatureStore(int(store_gib * 2**30), int(store_disk_gib * 2**30), tempfile.gettempdir())
    return VilampAdapter(model.to(device), weights_id, store)
