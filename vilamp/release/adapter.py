"""A released ViLaMP as an adapter of the harness. It keeps nothing between cases but features under their frames' keys.

Asks with the harness's prompt in the release's chat format and decodes greedily. A question without
video (a blind case) is put without the video's place. Where the release would cut the end of a long
sequence away, and the question with it, this refuses: the case becomes a record with status `error`.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from niah.adapters.attention import capture_attention
from niah.adapters.meter import clock, peaks, reset_peak
from niah.adapters.qwen import continue_greedily, prefill
from niah.prompt import format_prompt
from niah.run.attention import VisualAttention
from niah.types import FrameKey, Question, Reply, UserError, Video
from vilamp.release.features import ReleaseFeatures
from vilamp.release.model import VIDEO
from vilamp.release.text import ReleaseText

COMPOSED = 8  # frames merged at a time


class ReleaseAdapter:
    """Generates a reply to the video and the question."""

    def __init__(self, features: ReleaseFeatures, text: ReleaseText, max_new_tokens: int) -> None:
        self.model, self.features, self.text, self.limit = features.model, features, text, max_new_tokens

    @torch.inference_mode()
    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the model says, and what it cost. Raises UserError where the sequence is too long."""
        model, device = self.model, self.model.device
        reset_peak(device)
        waited, began, encoded = video.decode_seconds, clock(device), self.features.encoded
        keys = video.keys(0, len(video))
        query = model.encode_query(self.text.query(question.text))
        embeddings = self._embeddings(video, keys)
        encode_end, decoding = clock(device), video.decode_seconds - waited
        kept = model.select(embeddings, query)[1] if keys else []
        select_end = clock(device)
        whole = self._sequence(video, keys, question, embeddings, query, kept)
        merge_end, waited = clock(device), video.decode_seconds - waited
        cache, logits = prefill(model.language, whole, room=self.limit)
        logits = logits.cpu()
        first_token = clock(device)
        ids = continue_greedily(model.language, cache, logits.to(device), self.limit, self.text.stop_ids)
        allocated, reserved = peaks(device)
        return Reply(
            text=self.text.decode(ids),
            frames_used=tuple(range(len(video))),
            frames_kept=tuple(kept),
            seconds={
                "decode": waited,
                "encode": encode_end - began - decoding,
                "select": select_end - encode_end,
                "merge": merge_end - select_end - (waited - decoding),
                "prefill": first_token - merge_end,
                "generate": clock(device) - first_token,
            },
            seconds_to_first_token=first_token - began - waited,
            peak_allocated_bytes=allocated,
            peak_reserved_bytes=reserved,
            language_tokens=len(whole),
            reused_frames=max(0, len(video) - (self.features.encoded - encoded)),
            settings=self.settings(),
        )

    @torch.inference_mode()
    def attentions(self, video: Video, question: Question) -> VisualAttention:
        """Return what the words behind the video look at; a token's features are what the language model reads.

        Raises UserError without a video, or where the sequence is too long.
        """
        model, keys = self.model, video.keys(0, len(video))
        if not keys:
            raise UserError("attention is told of a video's tokens: ask about a video, not a blind case")
        query = model.encode_query(self.text.query(question.text))
        embeddings = self._embeddings(video, keys)
        kept = model.select(embeddings, query)[1]
        whole = self._sequence(video, keys, question, embeddings, query, kept)
        first = self.text.prompt(format_prompt(question), video=True).index(VIDEO)
        newline = int(model.behaviour.newline)
        each = model.visual_tokens(1, 1) - newline
        keyframes = set(kept)
        frames = [n for n in range(len(keys)) for _ in range(each if n in keyframes else 1)]
        return capture_attention(model.language, whole, first, frames, whole[first : first + len(frames)], newline)

    def settings(self) -> dict[str, float | str | None]:
        """Return what is computed, for every record: behaviour, K, threshold, limit, dtype, weights."""
        config = self.model.config
        return {
            **{f"behaviour.{name}": value for name, value in dataclasses.asdict(config.behaviour).items()},
            "keyframes": config.keyframes,
            "threshold": config.threshold,
            "longest": config.longest,
            "max_new_tokens": self.limit,
            "weights": self.features.name,
        }

    def _embeddings(self, video: Video, keys: list[FrameKey]) -> Tensor:
        """Return the CLIP embedding of every frame; makes patches of the same pixels where they can be kept."""
        every = range(len(keys))
        both = self.features.roomy(len(keys)) and len(self.model.wanted([], len(keys))) > 0
        kinds = ("embedding", "patches") if both else ("embedding",)
        found = list(self.features.of(video, keys, every, kinds))
        return torch.cat(found) if found else self.model.image_newline.new_zeros(0, self.model.config.clip.width)

    def _sequence(
        self, video: Video, keys: list[FrameKey], question: Question, embeddings: Tensor, query: Tensor, kept: list[int]
    ) -> Tensor:
        """Return the whole prompt as embeddings, (tokens, width)."""
        ids = self.text.prompt(format_prompt(question), video=bool(keys))
        if not keys:
            self.model.refuse_longer(len(ids), 0)
            return self.model.embed(ids)
        whole, room = self.model.sequence(ids, self.model.visual_tokens(len(keys), len(kept)))
        wanted = self.model.wanted(kept, len(keys))
        chunks = self.features.of(video, keys, wanted, ("patches",))
        parts = (part for chunk in chunks for part in chunk.split(COMPOSED))
        self.model.stream(kept, embeddings, query, parts, room)
        return whole
