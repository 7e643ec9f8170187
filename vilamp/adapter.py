"""ViLaMP as an adapter of the harness. It keeps nothing between cases but features under their frames' keys."""

from __future__ import annotations

import tempfile
import time
from typing import Any

import numpy as np
import torch

from niah.adapters.checkpoint import locate
from niah.adapters.device import dtype_named
from niah.store import FeatureStore
from niah.types import Question, Reply, UserError, Video
from vilamp import weights
from vilamp.features import FrameFeatures
from vilamp.forgetful import Forgetful
from vilamp.memory import give_back
from vilamp.model import Vilamp
from vilamp.prompt import cloze
from vilamp.release.adapter import ReleaseAdapter
from vilamp.release.config import read_release
from vilamp.release.features import ReleaseFeatures
from vilamp.release.load import cut_vocabulary, from_release, weights_id
from vilamp.release.text import ReleaseText


class VilampAdapter:
    """Scores the options' words after the video and the question; keeps nothing but keyed features.

    `vilamp.memory` says what an answer holds of each frame.
    """

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
        frames, read = torch.empty(len(keys), self.model.config.clip.embed_dim, device=device), 0
        for embeddings, fresh in self.features.of(video, keys, "embedding"):
            rows = torch.from_numpy(embeddings).to(device, torch.float32)
            frames[read : read + len(rows)] = torch.nn.functional.normalize(rows, dim=-1)
            read, encoded = read + len(rows), encoded + fresh
        encode_end, decoding = self._clock(), video.decode_seconds - waited
        query = self.model.encode_query(question.text)
        kept = self.model.select(frames, query)
        del frames  # the language model takes their place
        select_end = self._clock()
        patches = (torch.from_numpy(found).to(query) for found, _ in self.features.of(video, keys, "patches"))
        visual = self.model.compress_all(len(keys), kept, query, patches)
        give_back()
        merge_end, waited = self._clock(), video.decode_seconds - waited
        prompt = self.model.vocabulary.encode(cloze(question))
        cache, first = self.model.prefill(visual, prompt)
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
            language_tokens=len(visual) + len(prompt),
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
    reuse: bool = True,
    seed: int = 0,
    **release: Any,
) -> VilampAdapter | ReleaseAdapter | Forgetful:
    """Load a checkpoint: a shipped name, a folder of ours, or a released one (folder or hub name).

    What lies in the folder decides: config.yaml is ours, config.json the release's. `keyframes` overrides its
    K; without `reuse` features are forgotten before every case; `seed` changes nothing here. `release` are
    settings of a released checkpoint: `dtype`, `behaviour` ("release" or "paper"), `max_new_tokens`, and single
    fields of the behaviour such as `legacy_mask=True`.
    """
    del seed  # greedy from end to end; taken because the runner hands it to every adapter
    memory, disk = int(store_gib * 2**30), int(store_disk_gib * 2**30)
    store = FeatureStore(memory, disk, tempfile.gettempdir())
    if weights.is_released(pretrained):
        released = load_released(pretrained, device, store, memory + disk, keyframes, **release)
        return released if reuse else Forgetful(released, store)
    if release:
        raise UserError(
            f"{pretrained!r} is a checkpoint of this project, which has no settings {', '.join(sorted(release))}: "
            "they belong to released checkpoints (pretrained=FOLDER with a config.json)"
        )
    model, weights_id = weights.load(weights.locate(pretrained), keyframes)
    adapter = VilampAdapter(model.to(device), weights_id, store)
    return adapter if reuse else Forgetful(adapter, store)


def load_released(
    name: str,
    device: str,
    store: FeatureStore,
    capacity: int,
    keyframes: int | None = None,
    dtype: str = "auto",
    behaviour: str = "release",
    max_new_tokens: int = 16,
    **settings: Any,
) -> ReleaseAdapter:
    """Load a released checkpoint with its tokenizer. Raises UserError for what does not fit, tokenizer included."""
    if not isinstance(max_new_tokens, int) or max_new_tokens < 1:
        raise UserError(f"max_new_tokens is a whole number from 1 up, got {max_new_tokens!r}")
    if settings.get("too_long", "refuse") != "refuse":
        raise UserError("too_long=cut would cut the question away: the adapter refuses such cases instead")
    folder = locate(name)
    overrides = {} if keyframes is None else {"max_frame_num": keyframes}
    text = ReleaseText(folder, read_release(folder, overrides).clip)
    precision = dtype_named(dtype, device, torch.bfloat16)
    model = from_release(folder, device, precision, behaviour=behaviour, overrides=overrides, **settings)
    cut_vocabulary(model, text.rows)
    return ReleaseAdapter(ReleaseFeatures(model, weights_id(folder), store, capacity), text, max_new_tokens)
