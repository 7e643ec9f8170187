"""ViLaMP as an adapter of the harness. It keeps nothing between cases but features under their frames' keys."""

from __future__ import annotations

import inspect
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from niah.adapters.attention import capture_attention
from niah.adapters.checkpoint import locate
from niah.adapters.compressor import Compressor, InLanguage
from niah.adapters.feature_store import FeatureStore
from niah.adapters.options import bytes_of_gib, resolve_dtype
from niah.run.attention import VisualAttention
from niah.settings import positive_int, unknown_name
from niah.types import FrameKey, Question, Reply, UserError, Video
from vilamp import checkpoint
from vilamp.features import FrameFeatures
from vilamp.memory import give_back
from vilamp.model import OPTION_TOKENS, Vilamp
from vilamp.release.adapter import ReleaseAdapter
from vilamp.release.behaviour import Behaviour
from vilamp.release.config import read_release
from vilamp.release.features import ReleaseFeatures
from vilamp.release.load import cut_vocabulary, from_release, weights_id
from vilamp.release.text import ReleaseText
from vilamp.vocabulary import cloze
from vilamp.without_cache import Forgetful


class VilampAdapter:
    """Scores the options' words after the video and the question; keeps nothing but keyed features.

    `vilamp.memory` says what an answer holds of each frame.
    """

    def __init__(
        self, model: Vilamp, weights_id: str, store: FeatureStore, compressor: Compressor | None = None
    ) -> None:
        self.model, self.weights_id, self.features = model, weights_id, FrameFeatures(model, store)
        self.compressor: Compressor = compressor or model.compressor

    @torch.inference_mode()
    def answer(self, video: Video, question: Question) -> Reply:
        """Return the likeliest option, its rivals' scores, and what it cost."""
        device = self.model.device
        on_gpu = device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        waited, began = video.decode_seconds, self._clock()
        keys, encoded = video.keys(0, len(video)), Counter[str]()
        frames = self._embeddings(video, keys, encoded)
        encode_end, decoding = self._clock(), video.decode_seconds - waited
        query = self.model.encode_query(question.text)
        choice = self.compressor.choose(frames, query)
        del frames  # the language model takes their place
        select_end = self._clock()
        patches = self._patches(video, keys, choice.seen, encoded)
        prompt = self.model.vocabulary.encode(cloze(question))
        visual = self.model.watch(self.compressor, choice, query, patches, len(prompt) + OPTION_TOKENS)
        give_back()
        merge_end, waited = self._clock(), video.decode_seconds - waited
        cache, first = self.model.prefill(visual, prompt)
        first = first.cpu()
        first_token = self._clock()
        scores = [self.model.score(cache, first, self.model.vocabulary.encode(text)) for text in question.options]
        return Reply(
            text=question.options[int(np.argmax(scores))],
            option_scores=tuple(scores),
            mode="likelihood",
            frames_used=tuple(choice.seen),
            frames_kept=tuple(choice.kept),
            seconds={
                "decode": waited,
                "encode": encode_end - began - decoding,
                "select": select_end - encode_end,
                "merge": merge_end - select_end - (waited - decoding),  # and encode what is not there
                "prefill": first_token - merge_end,
                "options": self._clock() - first_token,
            },
            seconds_to_first_token=first_token - began - waited,
            peak_allocated_bytes=torch.cuda.max_memory_allocated() if on_gpu else None,
            peak_reserved_bytes=torch.cuda.max_memory_reserved() if on_gpu else None,
            language_tokens=self.compressor.tokens(choice, self.model.config.vision.side**2) + len(prompt),
            reused_frames=self._reused(len(video), len(choice.seen), encoded),
            settings={**self.compressor.settings(), "weights": self.weights_id},
        )

    def score(self, video: Video, question: Question) -> tuple[float, ...]:
        """Return the mean log-probability of each option's tokens."""
        scores = self.answer(video, question).option_scores
        assert scores is not None  # answer() always gives them
        return scores

    @torch.inference_mode()
    def attentions(self, video: Video, question: Question) -> VisualAttention:
        """Return what the prompt looks at; a token's features are the encoder's, of a merged one their mean.

        For short videos: unlike `answer` it holds the patches of all frames seen. Raises UserError without a video,
        and where the compressor works in the language model.
        """
        if not len(video) or isinstance(self.compressor, InLanguage):
            raise UserError(
                "attention is told of a video's tokens as they enter the language model: ask about a video, with a "
                f"compressor that ends there; got {len(video)} frames and {dict(self.compressor.settings())}"
            )
        keys, encoded = video.keys(0, len(video)), Counter[str]()
        query = self.model.encode_query(question.text)
        choice = self.compressor.choose(self._embeddings(video, keys, encoded), query)
        patches = torch.cat(list(self._patches(video, keys, choice.seen, encoded)))
        runs = list(self.model.runs(self.compressor, choice, query, [patches]))
        frames = [number for run in runs for number in run.frames]
        tokens, rows = Counter(frames), {number: row for row, number in enumerate(choice.seen)}
        shown = [  # each frame once: its tokens are one run
            patches[rows[n]] if count == patches.shape[1] else patches[rows[n]].mean(dim=0).expand(count, -1)
            for n, count in tokens.items()
        ]
        prompt = self.model.embed(self.model.vocabulary.encode(cloze(question)))
        whole = torch.cat([*(run.embeddings for run in runs), prompt])
        return capture_attention(self.model.language, whole, 0, frames, torch.cat(shown))

    def _embeddings(self, video: Video, keys: list[FrameKey], encoded: Counter[str]) -> Tensor:
        """Return the unit-length embeddings of all frames, (frames, dim), dim 0 where nobody looks at them."""
        if self.compressor.guided:
            return self.features.directions(video, keys, encoded)
        return torch.empty(len(keys), 0, device=self.model.device)

    def _patches(
        self, video: Video, keys: list[FrameKey], wanted: Sequence[int], encoded: Counter[str]
    ) -> Iterator[Tensor]:
        """Yield the patches of the wanted frames a chunk at a time; count those that had to be encoded."""
        for found, fresh in self.features.of(video, keys, "patches", wanted):
            encoded["patches"] += fresh
            yield torch.from_numpy(found).to(self.model.device, torch.float32)

    def _reused(self, frames: int, seen: int, encoded: Counter[str]) -> int:
        """Return how many of the frames looked at, to choose among or only to be seen, had not to be encoded."""
        return frames - encoded["embedding"] if self.compressor.guided else seen - encoded["patches"]

    def _clock(self) -> float:
        """Return the time once the device has done what it was given, in seconds."""
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)
        return time.perf_counter()


def load(
    pretrained: str = "micro",
    device: str = "cpu",
    store_gib: Any = 1.0,
    store_disk_gib: Any = 8.0,
    keyframes: Any = None,
    reuse: bool = True,
    compressor: Any = None,
    seed: int = 0,
    threshold: Any = None,
    temperature: Any = None,
    store: Any = None,
    **release: Any,
) -> VilampAdapter | ReleaseAdapter | Forgetful:
    """Load a checkpoint: a shipped name, a folder of ours, or a released one (folder or hub name).

    What lies in the folder decides: config.yaml is ours, config.json the release's. `keyframes`, `threshold` and
    `temperature` override its K, tau and alpha; without `reuse` features are forgotten before every case; `seed`
    changes nothing here. A `compressor`, an object as `niah.adapters.compressor` describes it, takes the place of
    ViLaMP's own in a checkpoint of ours. A `store` is one to share features with other adapters of the process.
    `release` are settings of a released checkpoint: `dtype`, `behaviour` ("release" or "paper"), `max_new_tokens`,
    and single fields of the behaviour such as `legacy_mask=True`.
    """
    del seed  # greedy from end to end; taken because the runner hands it to every adapter
    if compressor is not None:
        _check_compressor(compressor, pretrained, keyframes=keyframes, threshold=threshold, temperature=temperature)
    memory, disk = bytes_of_gib("store_gib", store_gib), bytes_of_gib("store_disk_gib", store_disk_gib)
    store = FeatureStore(memory, disk, tempfile.gettempdir()) if store is None else store
    if checkpoint.is_released(pretrained):
        if temperature is not None:
            release["temperature"] = temperature  # a field of the behaviour
        released = load_released(pretrained, device, store, memory + disk, keyframes, threshold, **release)
        return released if reuse else Forgetful(released, store)
    if release:
        hint = unknown_name("setting of it", min(release), _settings())
        raise UserError(
            f"{pretrained!r} is a checkpoint of this project: {hint} "
            "Others belong to released checkpoints (pretrained=FOLDER with a config.json)"
        )
    model, weights_id = checkpoint.load(checkpoint.locate(pretrained), keyframes, threshold, temperature)
    adapter = VilampAdapter(model.to(device), weights_id, store, compressor)
    return adapter if reuse else Forgetful(adapter, store)


def _settings() -> list[str]:
    """Return the settings of every checkpoint that --model_args can name."""
    return [name for name in inspect.signature(load).parameters if name not in ("compressor", "store", "release")]


def _check_compressor(compressor: Any, pretrained: str, **constants: Any) -> None:
    """Raise UserError for what is no compressor, and for what would have no effect beside one."""
    if not isinstance(compressor, Compressor):
        raise UserError(
            "compressor is an object as niah.adapters.compressor describes it, which --model_args cannot name, "
            f"got {compressor!r}; name a model that brings one, such as uniform, topk or mean"
        )
    given = " and ".join(name for name, value in constants.items() if value is not None)
    if given:
        raise UserError(f"{given} is of ViLaMP's own compressor; here it is {dict(compressor.settings())}")
    if checkpoint.is_released(pretrained):
        raise UserError(
            f"{pretrained!r} is a released checkpoint, which has a composer of its own (its setting `composer`); "
            "another compressor goes with a checkpoint of this project, such as pretrained=micro"
        )


def load_released(
    name: str,
    device: str,
    store: FeatureStore,
    capacity: int,
    keyframes: Any = None,
    threshold: Any = None,
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
    known = [*_settings(), "dtype", "behaviour", "max_new_tokens", *(one.name for one in fields(Behaviour))]
    for setting in settings:  # before anything is read
        if setting not in known:
            raise UserError(unknown_name("setting of a released checkpoint", setting, known))
    if keyframes is not None:
        positive_int("keyframes", keyframes)
    folder = locate(name)
    given = {"max_frame_num": keyframes, "f2f_thrd": threshold}
    overrides = {name: value for name, value in given.items() if value is not None}
    text = ReleaseText(folder, read_release(folder, overrides).clip)
    precision = resolve_dtype(dtype, device, torch.bfloat16)
    model = from_release(folder, device, precision, behaviour=behaviour, overrides=overrides, **settings)
    cut_vocabulary(model, text.rows)
    return ReleaseAdapter(ReleaseFeatures(model, weights_id(folder), store, capacity), text, max_new_tokens)
