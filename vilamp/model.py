"""ViLaMP: keyframes at full resolution, every other frame as one token, then the language model.

The weights, and what they compute; `vilamp.answer` puts the steps in order. The paper's ideas are pure functions in
`keyframes` and `merge`, which the model's compressor applies; another compressor can take its place.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import Cache, Qwen2Config, Qwen2ForCausalLM

from niah.adapters.compressor import (
    Choice,
    Compressor,
    Connectors,
    InLanguage,
    Sequences,
    TokenChunk,
    frame_chunks,
)
from niah.adapters.kv_cache import cache_arguments
from vilamp.compressors.differential import Differential
from vilamp.config import Language, VilampConfig
from vilamp.encoders import ClipSelector, SiglipTower, clip_pixels, resize, siglip_pixels
from vilamp.late import carrying_cosines, without_cosines, words_mask
from vilamp.merge import patch_saliency
from vilamp.prefill import prefill
from vilamp.vocabulary import PAD, Vocabulary

if TYPE_CHECKING:
    from vilamp.release.model import ReleasedVilamp

IGNORED = -100  # a label that carries no loss
OPTION_TOKENS = 256  # of the longest option; words are tokens
LATE_WEIGHT = 4.0  # of a token's cosine with the question, before training
POSITION_SCALE = 4  # two numbers among a hundred of unit variance would hardly be noticed


@dataclass(frozen=True)
class Stream:
    """What the language model sees of a video."""

    embeddings: Float[Tensor, "tokens hidden"]
    frames: Int[Tensor, " tokens"]  # the frame each token comes from


class Connector(nn.Module):
    """A two-layer perceptron with exact GELU, from vision features to language-model embeddings (Eq. 11)."""

    def __init__(self, channels: int, hidden_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(channels, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size))

    def forward(self, features: Float[Tensor, "tokens channels"]) -> Float[Tensor, "tokens hidden"]:
        """Map features to embeddings, token by token."""
        return self.layers(features)


class Vilamp(nn.Module):
    """The whole model; every size comes from its config."""

    grid: Float[Tensor, "patches 2"]  # x, y of each patch in reading order

    def __init__(self, config: VilampConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.clip = ClipSelector(config.clip, len(vocabulary), vocabulary.end)
        self.vision = SiglipTower(config.vision)
        channels = config.vision.hidden_size + config.extras.channels
        self.keyframe_connector = Connector(channels, config.language.hidden_size)
        self.merged_connector = Connector(channels, config.language.hidden_size)
        self.language = Qwen2ForCausalLM(_language_config(config.language, len(vocabulary)))
        side = config.vision.side
        line = torch.linspace(-1, 1, side)
        grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).reshape(side * side, 2)
        self.register_buffer("grid", grid, persistent=False)
        self._own = Differential.of(config)
        self.late_weights: nn.Parameter | None = None
        if config.extras.late_question:
            self.late_weights = nn.Parameter(torch.full((config.language.heads,), LATE_WEIGHT))
        self.scheme: Any = None  # checkpoints store the weights of a compressor that learns under this name
        if config.compression is not None:
            from vilamp.compressors.registry import build  # here: most checkpoints have ViLaMP's own compressor

            self.scheme = build(config, self.language)

    @staticmethod
    def from_release(
        name: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, **settings: Any
    ) -> ReleasedVilamp:
        """Return the model of a checkpoint as the authors released it: a folder or a hub name.

        It is a class of its own: towers, names, tokenizers and arithmetic differ from the small model's, and
        the two share the paper's functions (`keyframes`, `merge`). See `vilamp.release.load.from_release`.
        """
        from vilamp.release.load import from_release  # here: the small model needs nothing of the release

        return from_release(name, device, dtype, **settings)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def patches(self) -> int:
        """Patches of a frame."""
        return self.config.vision.side**2

    def prepare(
        self, frames: UInt8[Tensor, "frames height width 3"]
    ) -> tuple[UInt8[Tensor, "frames _a _a 3"], UInt8[Tensor, "frames _b _b 3"]]:
        """Resize frames for CLIP and for the SigLIP tower; once, if both take the same size."""
        side, other = self.config.clip.image_size, self.config.vision.image_size
        for_clip = resize(frames, side)
        return for_clip, for_clip if side == other else resize(frames, other)

    def encode_embeddings(self, frames: UInt8[Tensor, "frames height width 3"]) -> Float[Tensor, "frames dim"]:
        """Return the unit-length CLIP embeddings of one chunk of frames of any size."""
        return self.clip.encode_frames(clip_pixels(resize(frames, self.config.clip.image_size).to(self.device)))

    def encode_patches(self, frames: UInt8[Tensor, "frames height width 3"]) -> Float[Tensor, "frames patches dim"]:
        """Return the SigLIP patches of one chunk of frames of any size."""
        return self.vision(siglip_pixels(resize(frames, self.config.vision.image_size).to(self.device)))

    def encode_frames(
        self, frames: UInt8[Tensor, "frames height width 3"]
    ) -> tuple[Float[Tensor, "frames dim"], Float[Tensor, "frames patches dim"]]:
        """Return embeddings and patches of one chunk of frames of any size."""
        for_clip, for_vision = self.prepare(frames)
        return self.encode_embeddings(for_clip), self.encode_patches(for_vision)

    def encode_queries(self, texts: list[str]) -> Float[Tensor, "texts dim"]:
        """Return the unit-length CLIP embeddings of bare questions, each cut to CLIP's context."""
        ids = [self.vocabulary.encode_query(text, self.config.clip.context_length) for text in texts]
        longest = max(map(len, ids))
        padded = [one + [PAD] * (longest - len(one)) for one in ids]
        return self.clip.encode_texts(torch.tensor(padded, device=self.device))

    def encode_query(self, text: str) -> Float[Tensor, " dim"]:
        """Return the unit-length CLIP embedding of a bare question."""
        return self.encode_queries([text])[0]

    def features(
        self, patches: Float[Tensor, "frames patches dim"], query: Float[Tensor, " dim"]
    ) -> Float[Tensor, "frames patches channels"]:
        """Append the config's extras to patches; without extras these are the patches."""
        parts = [patches]
        extras = self.config.extras
        if extras.patch_positions:
            parts.append(POSITION_SCALE * self.grid.expand(len(patches), -1, -1))
        if extras.query_scores or extras.late_question:
            cosines = patch_saliency(patches, None, query, 0.0)[..., None]  # (frames, patches, 1)
            parts += [cosines] * (extras.query_scores + extras.late_question)
        return torch.cat(parts, dim=-1)

    @property
    def compressor(self) -> Compressor:
        """The compressor this model was trained with: the one its config names, or ViLaMP's own."""
        return self.scheme or self._own

    def tokens(
        self,
        compressor: Compressor,
        choice: Choice,
        query: Float[Tensor, " dim"],
        patches: Iterable[Float[Tensor, "_frames patches dim"]],
    ) -> Iterator[TokenChunk]:
        """Yield the tokens a compressor makes of a video, with gradients where enabled.

        With a late question their embeddings end in a column of cosines (`vilamp.late`).

        Args:
            compressor: The model's own, or one in its place.
            choice: What the compressor chose of the video.
            query: The unit-length embedding of the question.
            patches: Patches of the chosen frames, in temporal order, a chunk of any size at a time.
        """
        chunks = frame_chunks(choice.seen, patches, lambda chunk: self.features(chunk, query))
        connect = Connectors(self.keyframe_connector, self.merged_connector)
        connect = connect if self.late_weights is None else carrying_cosines(connect)
        return compressor.compress(choice, query, chunks, connect)

    def compress(
        self,
        kept: list[int],
        query: Float[Tensor, " dim"],
        patches: Iterable[Float[Tensor, "_frames patches dim"]],
    ) -> Stream:
        """Return the visual tokens of a whole video, all frames seen, by ViLaMP's own compressor."""
        choice = Choice(range(sys.maxsize), kept)  # every frame, however many come
        return self._stream(self._embedded(self.tokens(self._own, choice, query, patches)))

    def compressed_tokens(
        self,
        choice: Choice,
        query: Float[Tensor, " dim"],
        patches: Iterable[Float[Tensor, "_frames patches dim"]],
    ) -> Stream:
        """Return what the model's own compressor leaves of a video for whoever reads it.

        For a compressor in the language model these are the last states of the tokens that stay, computed for all
        windows at once: for videos as short as in training.
        """
        chunks = list(self._embedded(self.tokens(self.compressor, choice, query, patches)))
        stream = self._stream(chunks)
        if not isinstance(self.compressor, InLanguage) or not chunks:
            return stream
        stays = [stay for chunk in chunks for stay in chunk.stays or ()]
        frames = stream.frames[torch.tensor(stays, dtype=torch.bool)]
        staying = torch.arange(len(frames) + 1, device=self.device)
        text = self.embed([PAD])  # a row must end in a text; nothing that stays sees it
        video = TokenChunk(stream.frames.tolist(), stream.embeddings, stays)
        batch = Sequences([video], [[text]], [staying], [staying[:-1]])
        return Stream(self.compressor.states(self.language, batch).wanted[0], frames)

    def _embedded(self, chunks: Iterable[TokenChunk]) -> Iterable[TokenChunk]:
        """Return tokens without the cosines that they carry where the question comes late."""
        return chunks if self.late_weights is None else without_cosines(chunks, [])

    def _stream(self, chunks: Iterable[TokenChunk]) -> Stream:
        """Return a video's tokens as one."""
        held = list(chunks)
        nothing = torch.zeros(0, self.config.language.hidden_size, device=self.device)
        frames = torch.tensor([number for chunk in held for number in chunk.frames], dtype=torch.long)
        return Stream(torch.cat([chunk.embeddings for chunk in held] or [nothing]), frames)

    def select(
        self, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " dim"], limit: int | None = None
    ) -> list[int]:
        """Return the keyframes of a video from its unit-length frame embeddings, K of them or `limit` at most."""
        return list(replace(self._own, keyframes=limit or self._own.keyframes).choose(embeddings, query).kept)

    def embed(self, ids: list[int]) -> Float[Tensor, "tokens hidden"]:
        """Return the language model's embeddings of token ids."""
        return self.language.model.embed_tokens(torch.tensor(ids, dtype=torch.long, device=self.device))

    def prefill(
        self,
        prompt: Float[Tensor, "tokens hidden"],
        cache: Cache | None = None,
        room: int = OPTION_TOKENS,
        cosines: Float[Tensor, " video"] | None = None,
    ) -> tuple[Cache, Float[Tensor, " vocabulary"]]:
        """Read a prompt; return the cache and the log-probabilities of the next token.

        Args:
            prompt: Embeddings of the video and the words; of the words alone where a cache is given.
            cache: What was read before the prompt, with room for it and for an option.
            room: Tokens of an option that a new cache has room for, its last token not counted.
            cosines: Of the video's tokens with the question, where the question comes late.
        """
        if cosines is not None and len(cosines) and cache is None:
            words = prompt[len(cosines) :]
            cache, _ = prefill(self.language, prompt[: len(cosines)], room + len(words))
            prompt = words
        if cache is None:
            cache, logits = prefill(self.language, prompt, room)
        else:
            logits = self._read_words(prompt, cache, cosines)[-1]
        return cache, logits.log_softmax(-1)

    def _read_words(
        self, words: Float[Tensor, "words hidden"], cache: Cache, cosines: Float[Tensor, " video"] | None
    ) -> Float[Tensor, "words vocabulary"]:
        """Read words behind what a cache holds; return their logits."""
        arguments = cache_arguments(self.language, cache)
        if self.late_weights is not None and cosines is not None and len(cosines):
            read = cache.get_seq_length() - len(cosines)
            arguments["attention_mask"] = words_mask(self.late_weights, cosines, read, len(words))
        return self.language(inputs_embeds=words[None], **arguments).logits[0]

    def score(
        self,
        cache: Cache,
        first: Float[Tensor, " vocabulary"],
        option: list[int],
        cosines: Float[Tensor, " video"] | None = None,
    ) -> float:
        """Return the log-probability of an option's tokens after a prefilled prompt.

        The cache is left as it was found. `cosines` are those that `prefill` was given.
        """
        if not option:
            raise ValueError("an option without any token cannot be scored; give every option some text")
        total = float(first[option[0]])
        if len(option) > 1:
            logits = self._read_words(self.embed(option[:-1]), cache, cosines)
            cache.crop(1 - len(option))  # negative: how many tokens to take back
            picked = torch.tensor(option[1:], device=self.device)[:, None]
            total += float(logits.log_softmax(-1).gather(1, picked).sum())
        return total

    def states(
        self, inputs: list[Float[Tensor, "_tokens hidden"]], positions: list[Int[Tensor, " _tokens"]]
    ) -> Float[Tensor, "batch tokens hidden"]:
        """Return the language model's last states of sequences that may differ in length, padded on the right.

        Attention is causal, so no token ever sees the padding behind it. The mask is all ones: without
        one, a gap in the positions would be taken for the end of a text.
        """
        padded = nn.utils.rnn.pad_sequence(inputs, batch_first=True)
        places = nn.utils.rnn.pad_sequence(positions, batch_first=True)
        seen = torch.ones_like(places)
        output = self.language.model(inputs_embeds=padded, attention_mask=seen, position_ids=places, use_cache=False)
        return output.last_hidden_state

    def name(self, states: Float[Tensor, "tokens hidden"]) -> Float[Tensor, "tokens vocabulary"]:
        """Return the logits of the next token."""
        return cast(nn.Linear, self.language.lm_head)(states)

    def loss(
        self, states: Float[Tensor, "batch tokens hidden"], labels: list[Int[Tensor, " _tokens"]]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "labelled vocabulary"]]:
        """Return the mean cross-entropy of the labelled tokens of a batch (Eq. 12), and their logits.

        Labels of visual and prompt tokens are `IGNORED`.
        """
        targets = nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED)
        wanted = targets[:, 1:] != IGNORED  # (batch, tokens - 1)
        logits = self.name(states[:, :-1][wanted])  # (labelled, vocabulary)
        return cross_entropy(logits, targets[:, 1:][wanted]), logits


def _language_config(sizes: Language, vocabulary: int) -> Qwen2Config:
    """Return the language model's config."""
    return Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=sizes.hidden_size,
        intermediate_size=sizes.intermediate_size,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.key_value_heads,
        max_position_embeddings=sizes.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": sizes.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )
