"""ViLaMP as an adapter of the harness. It keeps nothing between cases but features under their frames' keys."""

from __future__ import annotations

import tempfile
import time

import numpy as np
import torch

from niah.store import FeatureStore
from niah.types import Question, Reply, Video
from vilamp import weights
from vilamp.features import FrameFeatures
from vilamp.model import Vilamp
from vilamp.prompt import cloze


class VilampAdapter:
    """Scores the options' words after the video and the question; keeps nothing but keyed features."""

    def __init__(self, model: Vilamp, weights_id: str, store: FeatureStore) -> None:
        self.model, self.features = model, FrameFeatures(model, weights_id, store)

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
        for embeddings, fresh in self.features.of(video, keys, "embedding"):
            frames.append(torch.from_numpy(embeddings).to(device, torch.float32))
            encoded += fresh
        encode_end, decoding = self._clock(), video.decode_seconds - waited
        query = self.model.encode_query(question.text)
        frames = torch.nn.functional.normalize(torch.cat(frames), dim=-1) if frames else query.new_zeros(0, len(query))
        kept = self.model.select(frames, query)
        select_end = self._clock()
        patches = (torch.from_numpy(found).to(query) for found, _ in self.features.of(video, keys, "patches"))
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
