"""ViLaMP as an adapter of the harness. It keeps nothing between cases but features under their frames' keys."""

from __future__ import annotations

import inspect
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize
from transformers import Cache

from niah.adapters.attention import capture_attention
from niah.adapters.compressor import (
    EMBEDDING,
    PATCHES,
    Choice,
    Compressor,
    InLanguage,
    Settings,
    TokenChunk,
    write_tokens,
)
from niah.adapters.feature_store import FeatureStore
from niah.adapters.options import bytes_of_gib
from niah.run.attention import VisualAttention
from niah.settings import unknown_name
from niah.types import Adapter, OptionLikelihood, Question, Reply, UserError, Video
from vilamp import checkpoint
from vilamp.answer import ModelAnswer, Prompt, answer_video
from vilamp.encoders import encoders_id, resize
from vilamp.features import FrameEncoder, FrameFeatures
from vilamp.late import without_cosines
from vilamp.model import OPTION_TOKENS, Vilamp
from vilamp.vocabulary import cloze
from vilamp.without_cache import WithoutCache

BATCH = 64  # frames read at a time
ROWS = 16  # of a batch, encoded at once, if any is wanted: a clip of 30 frames fills two of four
PRESETS = {  # of released checkpoints: scripts/eval of the release, at commit 0bc8a17
    "official": {
        "settings": {"dtype": "float16"},
        "suites": {"frames": "release", "prompt": "release", "max_new_tokens": 256},  # as MLVU's multiple choice
        "tasks": {
            "videoniah_video_mme": {"max_new_tokens": 1},
            "videoniah_video_mme_subtitles": {"max_new_tokens": 1},
            "videoniah_longvideobench": {"max_new_tokens": 128},
            "videoniah_mlvu": {"max_new_tokens": 256},
            "videoniah_egoschema": {"max_new_tokens": 256},
        },
        "metadata": {"prompt": "release", "frame_sampling": "release"},
    }
}


class VilampAdapter:
    """Scores the options' words after the video and the question; keeps nothing but keyed features.

    `vilamp.memory` reports what an answer holds of each frame.
    """

    last_stage = "options"
    built_in_footage_only = True  # the encoders too were trained on nothing else

    def __init__(
        self, model: Vilamp, weights_id: str, store: FeatureStore, compressor: Compressor | None = None
    ) -> None:
        self.model, self.weights_id = model, weights_id
        self.compressor: Compressor = compressor or model.compressor
        self.needs = tuple(self.compressor.needs)
        self.features = FrameFeatures(frame_encoder(model), store)

    def answer(self, video: Video, question: Question) -> Reply:
        """Return the most likely option, the score of each, and what that cost."""
        return answer_video(self, video, question)

    def score(self, video: Video, question: Question) -> tuple[float, ...]:
        """Return the mean log-probability of each option's tokens."""
        scores = self.answer(video, question).option_scores
        assert scores is not None  # this adapter always scores
        return scores

    @torch.inference_mode()
    def attentions(self, video: Video, question: Question) -> VisualAttention:
        """Return what the prompt attends to; a token's features are the encoder's, of a merged one their mean.

        For short videos: unlike `answer` it holds the patches of all frames seen. Raises UserError without a video,
        and where the compressor works in the language model.
        """
        if not len(video) or isinstance(self.compressor, InLanguage):
            raise UserError(
                "attention is reported for a video's tokens as they enter the language model: ask about a video, with "
                f"a compressor that ends there; got {len(video)} frames and {dict(self.compressor.settings())}"
            )
        features = self.features.of(video)
        query = self.encode_query(question)
        embeddings = features.embeddings(self.needs)
        choice = self.select(embeddings, query)
        patches = torch.cat(list(features.patches(choice.with_patches))).float()
        tokens = list(self.merge(choice, query, embeddings, [patches]))
        frames = [number for chunk in tokens for number in chunk.frames]
        rows = {number: row for row, number in enumerate(choice.seen)}
        shown = [  # each frame once: its tokens are consecutive
            patches[rows[n]] if count == self.model.patches else patches[rows[n]].mean(dim=0).expand(count, -1)
            for n, count in Counter(frames).items()
        ]
        prompt = self.prompt(question, choice, iter(tokens))
        return capture_attention(self.model.language, prompt.embeddings, 0, frames, torch.cat(shown))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def frame_side(self) -> int:
        """Height and width in pixels of what the SigLIP tower sees."""
        return self.model.config.vision.image_size

    @property
    def known_words(self) -> tuple[str, ...]:
        """Return the words of the checkpoint's training; any other is spelled in bytes, which nothing trained."""
        return self.model.vocabulary.words

    def encode_query(self, question: Question) -> Float[Tensor, " dim"]:
        """Return the unit-length CLIP embedding of the bare question."""
        return self.model.encode_query(question.text)

    def select(self, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " width"]) -> Choice:
        """Let the compressor choose among the frames (Algorithm 1 for ViLaMP's own)."""
        unit = normalize(embeddings.float(), dim=-1) if EMBEDDING in self.needs else embeddings
        return self.compressor.choose(unit, query)

    def merge(
        self,
        choice: Choice,
        query: Float[Tensor, " dim"],
        embeddings: Float[Tensor, "frames width"],
        patches: Iterable[Float[Tensor, "_frames patches dim"]],
    ) -> Iterator[TokenChunk]:
        """Yield the tokens the compressor makes of the frames it chose (Eq. 5-11 for ViLaMP's own)."""
        return self.model.tokens(self.compressor, choice, query, (chunk.float() for chunk in patches))

    def prompt(self, question: Question, choice: Choice, tokens: Iterator[TokenChunk]) -> Prompt:
        """Put the words of the question behind the video's tokens."""
        words = self.model.embed(self.model.vocabulary.encode(cloze(question)))
        visual = self.compressor.tokens(choice, self.model.patches)
        count = visual + len(words)
        is_late = self.model.late_weights is not None
        if isinstance(self.compressor, InLanguage):
            cosines = [torch.zeros(0, device=self.device)]
            tokens = without_cosines(tokens, cosines) if is_late else tokens
            cache = self.compressor.read(self.model.language, tokens, count + OPTION_TOKENS)
            return Prompt(words, count, cache, torch.cat(cosines) if is_late else None)
        hidden = words.shape[1]
        embeddings = torch.empty(count, hidden + is_late, device=self.device)
        write_tokens(embeddings[:visual], tokens)
        embeddings[visual:, :hidden] = words
        return Prompt(embeddings[:, :hidden], count, cosines=embeddings[:visual, hidden] if is_late else None)

    def prefill(self, prompt: Prompt) -> tuple[Cache, Float[Tensor, " vocabulary"]]:
        """Read the prompt; return the cache and the log-probabilities of the next token."""
        return self.model.prefill(prompt.embeddings, prompt.cache, cosines=prompt.cosines)

    def reply(
        self, question: Question, prompt: Prompt, cache: Cache, first: Float[Tensor, " vocabulary"]
    ) -> ModelAnswer:
        """Return the most likely option, and the score of each."""
        options = [self.model.vocabulary.encode(option) for option in question.options]
        sums = [self.model.score(cache, first, option, prompt.cosines) for option in options]
        likelihoods = tuple(
            OptionLikelihood(total, len(option), len(text.encode("utf-8")), blind)
            for total, option, text, blind in zip(
                sums, options, question.options, self._score_blind(question, options, cache, sums), strict=True
            )
        )
        scores = tuple(one.log_probability / one.tokens for one in likelihoods)
        return ModelAnswer(question.options[int(np.argmax(scores))], scores, likelihoods=likelihoods)

    def _score_blind(
        self, question: Question, options: list[list[int]], cache: Cache, sums: list[float]
    ) -> list[float]:
        """Return the log-probability of each option after the question alone: `sums`, where it was asked alone.

        The words of a question are some 30 tokens, so this costs little beside a video.
        """
        words = self.model.vocabulary.encode(cloze(question))
        if cache.get_seq_length() == len(words):
            return sums
        alone, first = self.model.prefill(self.model.embed(words))
        first = first.cpu()
        return [self.model.score(alone, first, option) for option in options]

    def identity(self) -> dict[str, str]:
        """Return the id of the weights, wherever the checkpoint lies that a setting names."""
        return {"weights": self.weights_id}

    def settings(self) -> Settings:
        """Return the compressor's settings and the weights."""
        return {**self.compressor.settings(), "weights": self.weights_id}


def frame_encoder(model: Vilamp) -> FrameEncoder:
    """Return how the small model encodes frames; features are stored in half precision."""
    clip, vision = model.config.clip, model.config.vision
    sides = {EMBEDDING: clip.image_size, PATCHES: vision.image_size}
    shapes = {EMBEDDING: (clip.embed_dim,), PATCHES: (model.patches, vision.hidden_size)}
    towers = {EMBEDDING: model.encode_embeddings, PATCHES: model.encode_patches}

    def encode(frames: np.ndarray, rows: Sequence[int], kinds: Sequence[str]) -> dict[str, Tensor]:
        pixels = {side: resize(torch.from_numpy(frames), side) for side in {sides[kind] for kind in kinds}}
        features = {
            kind: torch.empty(len(rows), *shapes[kind], dtype=torch.float16, device=model.device) for kind in kinds
        }
        for first in range(0, BATCH, ROWS):
            places = [place for place, row in enumerate(rows) if first <= row < first + ROWS]
            taken = [rows[place] - first for place in places]
            for kind in kinds if places else ():
                batch = torch.zeros(ROWS, sides[kind], sides[kind], 3, dtype=torch.uint8)
                batch[taken] = pixels[sides[kind]][places]
                features[kind][places] = towers[kind](batch)[taken].half()
        return features

    return FrameEncoder(
        name=encoders_id(model.clip, model.vision),
        dtype=torch.float16,
        device=model.device,
        batch=BATCH,
        embedding_dim=clip.embed_dim,
        frame_bytes=2 * (model.patches * vision.hidden_size + clip.embed_dim),
        encode=encode,
    )


def load(
    pretrained: str = "micro-vilamp",
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
) -> Adapter:
    """Load a checkpoint: ours if its folder holds config.yaml, the authors' if it holds config.json.

    Args:
        pretrained: A shipped name, a folder of ours, or a released checkpoint (folder or hub name).
        device: Where to run.
        store_gib: Memory for features of frames.
        store_disk_gib: Disk for features of frames.
        keyframes: K in place of the checkpoint's.
        reuse: Whether cases share features; without, they are forgotten before every case.
        compressor: An object as `niah.adapters.compressor` describes it, in place of ViLaMP's own; for a checkpoint
            of ours.
        seed: Changes nothing: decoding is greedy. The runner passes it to every adapter.
        threshold: tau in place of the checkpoint's.
        temperature: alpha in place of the checkpoint's.
        store: A store of features to share with other adapters of the process.
        release: Settings of a released checkpoint: `dtype`, `device_map`, `behaviour` ("release" or "paper"),
            `max_new_tokens`, `prompt`, `frames`, and single fields of the behaviour such as `legacy_mask=True`.
    """
    del seed
    constants = {"keyframes": keyframes, "threshold": threshold, "temperature": temperature}
    if compressor is not None:
        _check_compressor(compressor, pretrained, constants)
    memory, disk = bytes_of_gib("store_gib", store_gib), bytes_of_gib("store_disk_gib", store_disk_gib)
    store = FeatureStore(memory, disk, tempfile.gettempdir()) if store is None else store
    adapter: Adapter
    if checkpoint.is_released(pretrained):
        from vilamp.release.adapter import load_released  # here: the small model needs nothing of the release

        adapter = load_released(pretrained, device, store, constants, release, _settings())
    else:
        if release:
            hint = unknown_name("setting of it", min(release), _settings())
            raise UserError(
                f"{pretrained!r} is a checkpoint of this project: {hint} "
                "Others belong to released checkpoints (pretrained=FOLDER with a config.json)"
            )
        model, weights_id = checkpoint.load(checkpoint.locate(pretrained), keyframes, threshold, temperature)
        adapter = VilampAdapter(model.to(device), weights_id, store, compressor)
    return adapter if reuse else WithoutCache(adapter, store)


def _settings() -> list[str]:
    """Return the settings of every checkpoint that --model_args can name."""
    return [name for name in inspect.signature(load).parameters if name not in ("compressor", "store", "release")]


def _check_compressor(compressor: Any, pretrained: str, constants: Mapping[str, Any]) -> None:
    """Raise UserError for anything but a compressor, and for what would have no effect beside one."""
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
