"""ViLaMP: keyframes at full resolution, every other frame as one token, then the language model.

The paper's ideas are pure functions in `keyframes` and `merge`, which `compressor` puts in order; another compressor,
or the scheme a checkpoint names (`schemes`), can take its place. Frames stream through: besides one chunk of patches
it holds the frame embeddings (frames x dim), the anchor keyframe's patches, and the visual embeddings that go
to the language model, (patches - 1) x keyframes + frames of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import Cache, Qwen2Config, Qwen2ForCausalLM

from niah.adapters.compressor import Choice, Compressor, Connectors, InLanguage, Sequences, TokenChunk, numbered
from niah.adapters.kv_cache import cache_arguments
from vilamp import compressors, config
from vilamp.compressors.differential import Differential
from vilamp.connector import Connector
from vilamp.encoders import ClipSelector, SiglipTower, clip_pixels, resize, siglip_pixels
from vilamp.merge import patch_saliency
from vilamp.prefill import prefill
from vilamp.release.load import from_release
from vilamp.release.model import ReleasedVilamp
from vilamp.vocabulary import PAD, Vocabulary

IGNORED = -100  # a label that carries no loss
OPTION_TOKENS = 256  # of the longest option; words are tokens
POSITION_SCALE = 4  # two numbers among a hundred of unit variance would hardly be noticed


@dataclass(frozen=True)
class Stream:
    """What the language model sees of a video."""

    embeddings: Float[Tensor, "tokens hidden"]
    frames: Int[Tensor, " tokens"]  # the frame each token comes from


class Vilamp(nn.Module):
    """The whole model; every size comes from its config."""

    grid: Float[Tensor, "patches 2"]  # x, y of each patch in reading order

    def __init__(self, settings: config.VilampConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config, self.vocabulary = settings, vocabulary
        language = settings.language
        self.clip = ClipSelector(settings.clip, len(vocabulary), vocabulary.end)
        self.vision = SiglipTower(settings.vision)
        channels = settings.vision.hidden_size + settings.extras.channels
        self.keyframe_connector = Connector(channels, language.hidden_size)
        self.merged_connector = Connector(channels, language.hidden_size)
        self.language = Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=len(vocabulary),
                hidden_size=language.hidden_size,
                intermediate_size=language.intermediate_size,
                num_hidden_layers=language.layers,
                num_attention_heads=language.heads,
                num_key_value_heads=language.key_value_heads,
                max_position_embeddings=language.max_positions,
                rope_parameters={"rope_type": "default", "rope_theta": language.rope_theta},
                tie_word_embeddings=True,
                bos_token_id=None,
                eos_token_id=None,
            )
        )
        side = settings.vision.side
        line = torch.linspace(-1, 1, side)
        grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).reshape(side * side, 2)
        self.register_buffer("grid", grid, persistent=False)
        self._own = Differential.of(settings)
        self.scheme: Any = None if settings.compression is None else compressors.build(settings, self.language)

    @staticmethod
    def from_release(
        name: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, **settings: Any
    ) -> ReleasedVilamp:
        """Return the model of a checkpoint as the authors released it: a folder or a hub name.

        It is a class of its own: towers, names, tokenizers and arithmetic differ from the small model's, and
        the two share the paper's functions (`keyframes`, `merge`). See `vilamp.release.load.from_release`.
        """
        return from_release(name, device, dtype, **settings)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def prepare(
        self, frames: UInt8[Tensor, "frames height width 3"]
    ) -> tuple[UInt8[Tensor, "frames _a _a 3"], UInt8[Tensor, "frames _b _b 3"]]:
        """Resize frames for CLIP and for the SigLIP tower; once, if both take the same size."""
        sides = self.config.clip.image_size, self.config.vision.image_size
        first = resize(frames, sides[0])
        return first, first if sides[0] == sides[1] else resize(frames, sides[1])

    def encode(
        self, for_clip: UInt8[Tensor, "frames _a _a 3"], for_vision: UInt8[Tensor, "frames _b _b 3"]
    ) -> tuple[Float[Tensor, "frames dim"], Float[Tensor, "frames patches dim"]]:
        """Return unit-length CLIP embeddings and SigLIP patches of one chunk of prepared frames."""
        embeddings = self.clip.encode_frames(clip_pixels(for_clip.to(self.device)))
        return embeddings, self.vision(siglip_pixels(for_vision.to(self.device)))

    def encode_frames(
        self, frames: UInt8[Tensor, "frames height width 3"]
    ) -> tuple[Float[Tensor, "frames dim"], Float[Tensor, "frames patches dim"]]:
        """Prepare and encode one chunk of frames of any size."""
        return self.encode(*self.prepare(frames))

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
        if self.config.extras.patch_positions:
            parts.append(POSITION_SCALE * self.grid.expand(len(patches), -1, -1))
        if self.config.extras.query_scores:
            parts.append(patch_saliency(patches, None, query, 0.0)[..., None])
        return torch.cat(parts, dim=-1)

    @property
    def compressor(self) -> Compressor:
        """The compressor this model was trained with: its config's scheme, or ViLaMP's own."""
        return self.scheme or self._own

    def compress(
        self,
        kept: list[int],
        query: Float[Tensor, " dim"],
        chunks: Iterable[Float[Tensor, "_frames patches dim"]],
    ) -> Stream:
        """Merge all frames but the `kept` ones and return both in temporal order (Eq. 5-11): ViLaMP's own compressor.

        `chunks` yields the patches of all frames in playing order; one chunk is held at a time.
        """
        choice = Choice(range(sys.maxsize), kept)  # every frame, however many come
        runs = list(self.runs(self._own, choice, query, chunks))
        nothing = torch.zeros(0, self.config.language.hidden_size, device=self.device)
        sources = [number for run in runs for number in run.frames]
        return Stream(torch.cat([run.embeddings for run in runs] or [nothing]), torch.tensor(sources, dtype=torch.long))

    def compress_with(
        self,
        compressor: Compressor,
        choice: Choice,
        query: Float[Tensor, " dim"],
        chunks: Iterable[Float[Tensor, "_frames patches dim"]],
    ) -> Float[Tensor, "tokens hidden"]:
        """Return the embeddings of what a compressor chose, whose room is taken whole beforehand.

        `chunks` yields the patches of the frames seen, in playing order. Thousands of small results that stay,
        between big ones that pass, would leave the heap in pieces.
        """
        tokens = compressor.tokens(choice, self.config.vision.side**2)
        visual, written = torch.empty(tokens, self.config.language.hidden_size, device=self.device), 0
        for run in self.runs(compressor, choice, query, chunks):
            visual[written : written + len(run.embeddings)] = run.embeddings
            written += len(run.embeddings)
        if written != tokens:
            raise ValueError(f"{compressor.settings()} announced {tokens} tokens and yielded {written}")
        return visual

    def watch(
        self,
        compressor: Compressor,
        choice: Choice,
        query: Float[Tensor, " dim"],
        chunks: Iterable[Float[Tensor, "_frames patches dim"]],
        room: int,
    ) -> Float[Tensor, "tokens hidden"] | Cache:
        """Return what `prefill` is given of a video: embeddings, or what a compressor in the language model cached.

        Such a cache has `room` for prompt and options.
        """
        if not isinstance(compressor, InLanguage):
            return self.compress_with(compressor, choice, query, chunks)
        capacity = compressor.tokens(choice, self.config.vision.side**2) + room
        return compressor.read(self.language, self.runs(compressor, choice, query, chunks), capacity)

    def compressed_tokens(
        self,
        choice: Choice,
        query: Float[Tensor, " dim"],
        chunks: Iterable[Float[Tensor, "_frames patches dim"]],
    ) -> Stream:
        """Return what the model's own compressor leaves of a video for whoever reads it.

        Of a compressor in the language model these are the last states of the tokens that stay, made of all windows
        at once: for videos as short as in training.
        """
        runs = list(self.runs(self.compressor, choice, query, chunks))
        frames = [number for run in runs for number in run.frames]
        nothing = torch.zeros(0, self.config.language.hidden_size, device=self.device)
        embeddings = torch.cat([run.embeddings for run in runs] or [nothing])
        if isinstance(self.compressor, InLanguage) and runs:
            stays = [one for run in runs for one in run.stays or ()]
            frames_left = [number for number, one in zip(frames, stays, strict=True) if one]
            everything = torch.arange(len(frames_left) + 1, device=self.device)
            text = self.embed([PAD])  # a row must end in a text; nothing that stays sees it
            batch = Sequences([TokenChunk(frames, embeddings, stays)], [[text]], [everything], [everything[:-1]])
            frames, embeddings = frames_left, self.compressor.states(self.language, batch).wanted[0]
        return Stream(embeddings, torch.tensor(frames, dtype=torch.long))

    def runs(
        self,
        compressor: Compressor,
        choice: Choice,
        query: Float[Tensor, " dim"],
        chunks: Iterable[Float[Tensor, "_frames patches dim"]],
    ) -> Iterator[TokenChunk]:
        """Yield a compressor's tokens, with the model's connectors for this query, with gradients where enabled."""
        connect = Connectors(
            features=lambda patches: self.features(patches, query),
            keyframe=self.keyframe_connector,
            merged=self.merged_connector,
        )
        return compressor.compress(choice, query, numbered(choice.seen, chunks), connect)

    def select(
        self, frames: Float[Tensor, "frames dim"], query: Float[Tensor, " dim"], limit: int | None = None
    ) -> list[int]:
        """Return the keyframes of a video from its unit-length frame embeddings, K of them or `limit` at most."""
        return list(replace(self._own, keyframes=limit or self._own.keyframes).choose(frames, query).kept)

    def embed(self, ids: list[int]) -> Float[Tensor, "tokens hidden"]:
        """Return the language model's embeddings of token ids."""
        return self.language.model.embed_tokens(torch.tensor(ids, dtype=torch.long, device=self.device))

    def prefill(
        self, visual: Float[Tensor, "tokens hidden"] | Cache, prompt: list[int], room: int = OPTION_TOKENS
    ) -> tuple[Cache, Float[Tensor, " vocabulary"]]:
        """Run visual tokens, then the prompt; return the cache and the log-probabilities of the next token.

        The cache has `room` for an option behind the prompt, its last token not counted. A video that has been read
        into a cache already is only followed by the prompt.
        """
        if isinstance(visual, Cache):
            logits = self.language(
                inputs_embeds=self.embed(prompt)[None], **cache_arguments(self.language, visual)
            ).logits
            return visual, logits[0, -1].log_softmax(-1)
        cache, logits = prefill(self.language, visual, self.embed(prompt), room)
        return cache, logits.log_softmax(-1)

    def score(self, cache: Cache, first: Float[Tensor, " vocabulary"], option: list[int]) -> float:
        """Return the mean log-probability of an option's tokens after a prefilled prompt.

        The cache is left as it was found.
        """
        if not option:
            raise ValueError("an option without any token cannot be scored; give every option some text")
        total = float(first[option[0]])
        if len(option) > 1:
            inputs = self.embed(option[:-1])[None]
            logits = self.language(inputs_embeds=inputs, **cache_arguments(self.language, cache)).logits[0]
            cache.crop(1 - len(option))  # negative: how many tokens to take back
            picked = torch.tensor(option[1:], device=self.device)[:, None]
            total += float(logits.log_softmax(-1).gather(1, picked).sum())
        return total / len(option)

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
