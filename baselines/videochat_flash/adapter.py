"""VideoChat-Flash as an adapter of the harness.

python -m niah.run --model videochat_flash --model_args pretrained=FOLDER,max_frames=512 --device cuda

It keeps nothing between cases but merged tokens of clips under their frames' keys. Where the release would cut
the sequence, and the question with it, the answer is an error that says so; `max_length` moves that limit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from baselines.videochat_flash.features import ClipFeatures
from baselines.videochat_flash.model import VideoChatFlash
from baselines.videochat_flash.model import load as load_model
from baselines.videochat_flash.prompt import STOP, encode_prompt, stop_ids, write_prompt
from baselines.videochat_flash.rope import Rope
from baselines.videochat_flash.sampling import frame_indices
from baselines.videochat_flash.settings import configure, frames_limit, refuse_beyond, told, whole
from niah.adapters.checkpoint import locate, read_config
from niah.adapters.device import clock, dtype_named, peaks, reset_peak
from niah.adapters.text import read_tokenizer
from niah.score import put
from niah.store import FeatureStore
from niah.types import Question, Reply, Video


class VideoChatFlashAdapter:
    """Continues the release's prompt greedily; shows at most `max_frames` frames."""

    def __init__(
        self, model: VideoChatFlash, tokenizer: Any, rope: Rope, store: FeatureStore, max_frames: int, longest: int
    ) -> None:
        self.model, self.tokenizer, self.rope, self.features = model, tokenizer, rope, ClipFeatures(model, store)
        self.max_frames, self.longest = max_frames, longest
        self.stops = stop_ids(tokenizer, model.config.end_ids)

    @torch.inference_mode()
    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the model says. Raises UserError where the release would cut the question away."""
        model, device = self.model, self.model.device
        reset_peak(device)
        began, waited = clock(device), video.decode_seconds
        shown = frame_indices(len(video), video.fps, self.max_frames) if len(video) else []
        prompt = write_prompt(put(question), len(video), video.fps, len(shown))
        ids, count = encode_prompt(self.tokenizer, prompt, len(shown)), len(shown) // model.config.tower.clip_frames
        tokens = len(ids) - bool(shown) + count * model.config.tower.clip_tokens
        refuse_beyond(model.config.limit, tokens, len(shown), self.max_frames)
        reused: set[int] = set()
        embeds, visual = model.assemble(ids, self._clips(video, shown, reused), count)
        encoded, waited = clock(device), video.decode_seconds - waited
        state = model.read(embeds, visual, self.rope, model.config.dropout, room=self.longest)
        logits = model.first_logits(state)
        first = clock(device)
        said, _ = model.generate(logits, state, self.rope, self.longest, self.stops)
        allocated, reserved = peaks(device)
        return Reply(
            text=self.tokenizer.decode(said, skip_special_tokens=True).split(STOP)[0].strip(),
            frames_used=tuple(dict.fromkeys(shown)),
            seconds={
                "decode": waited,
                "encode": encoded - began - waited,
                "prefill": first - encoded,
                "generate": clock(device) - first,
            },
            seconds_to_first_token=first - began - waited,
            language_tokens=tokens,
            reused_frames=len(reused),
            peak_allocated_bytes=allocated,
            peak_reserved_bytes=reserved,
            settings=told(model.config, self.rope.mode),
        )

    def _clips(self, video: Video, shown: list[int], reused: set[int]) -> Iterator[Tensor]:
        """Yield the merged tokens of each clip, and add the frames of those that the store had to `reused`."""
        size = self.model.config.tower.clip_frames
        for number, (tokens, found) in enumerate(self.features.of(video, shown)):
            reused.update(shown[number * size : (number + 1) * size] if found else ())
            yield tokens


def load(
    pretrained: str,
    device: str = "cpu",
    dtype: str = "auto",
    seed: int = 0,
    max_frames: int = 512,
    max_new_tokens: int = 32,
    rope: str = "faithful",
    dropout: str = "config",
    max_length: int | None = None,
    yarn: float | None = None,
    store_gib: float = 1.0,
    store_disk_gib: float = 8.0,
) -> VideoChatFlashAdapter:
    """Load a released checkpoint, a folder or a hub name. Raises UserError saying what does not fit.

    `rope`: faithful or exact; `dropout`: config, off, stored, card, wrapper or code; `yarn` is a factor;
    `dtype` auto is bfloat16 on a GPU. `seed` changes nothing, as decoding is greedy.
    """
    del seed
    most, longest = frames_limit(max_frames), whole("max_new_tokens", max_new_tokens)
    kind, folder = dtype_named(dtype, device, torch.bfloat16), locate(pretrained)
    config = configure(read_config(folder), dropout, max_length, yarn, rope)
    tokenizer = read_tokenizer(folder)
    model = load_model(folder, config, device, kind)
    store = FeatureStore(int(store_gib * 2**30), int(store_disk_gib * 2**30), tempfile.gettempdir())
    return VideoChatFlashAdapter(model, tokenizer, model.rope(rope), store, most, longest)
