"""LLaMA-VID as an adapter of the harness.

python -m niah.run --model llama_vid --model_args pretrained=FOLDER --device cuda

It keeps nothing between cases but the tower's features under their frames' keys. One frame a
second is shown, as many as there are. The Q-Former reads the bare question, of more than 256 word
pieces the end, as in the release; the language model reads the whole prompt, of any length. Nothing
stops the short-video model at its 4,096 positions (2,000 frames), as nothing does in the release.
Decoding is greedy, where the release's scripts draw at temperature 0.2.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from baselines.llama_vid import prompt, weights
from baselines.llama_vid.features import FrameFeatures
from niah.adapters.checkpoint import locate
from niah.adapters.decode import continue_greedily
from niah.adapters.device import clock, dtype_named, peaks, reset_peak
from niah.adapters.text import read_tokenizer
from niah.score import put
from niah.store import FeatureStore
from niah.types import Question, Reply, UserError, Video

PROMPTS = {"short": prompt.short_prompt, "long": prompt.long_prompt}


class LlamaVidAdapter:
    """Continues the release's prompt greedily, by at most `limit` tokens."""

    def __init__(
        self, features: FrameFeatures, tokenizer: Any, words: prompt.QueryTokenizer, path: str, limit: int
    ) -> None:
        self.model, self.features, self.tokenizer, self.words = features.model, features, tokenizer, words
        self.path, self.limit = path, limit

    @torch.inference_mode()
    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the model says after the video and the question, and what it cost."""
        model, device = self.model, self.model.device
        reset_peak(device)
        began, waited = clock(device), video.decode_seconds
        shown = prompt.one_per_second(len(video), video.fps)
        fresh: list[int] = []
        tokens = model.video_tokens(self._chunks(video, shown, fresh), self.words([question.text], device))[0]
        watched, waited = clock(device), video.decode_seconds - waited
        text = PROMPTS[self.path](put(question)) if shown else prompt.blind_prompt(put(question))
        ids = prompt.piece_ids(self.tokenizer, text, model.config.language.vocabulary)
        before, after = (model.embed(torch.tensor(piece, dtype=torch.long)) for piece in ids)
        embeds = torch.cat((before, tokens, after))
        cache, logits = model.prefill(embeds, room=self.limit)
        first = clock(device)
        said = continue_greedily(model.language, cache, logits, self.limit, {model.config.language.end})
        allocated, reserved = peaks(device)
        return Reply(
            text=self.tokenizer.decode(said, skip_special_tokens=True).split(prompt.STOP)[0].strip(),
            frames_used=tuple(shown),
            seconds={
                "decode": waited,
                "encode": watched - began - waited,
                "prefill": first - watched,
                "generate": clock(device) - first,
            },
            seconds_to_first_token=first - began - waited,
            peak_allocated_bytes=allocated,
            peak_reserved_bytes=reserved,
            language_tokens=len(embeds),
            reused_frames=len(shown) - sum(fresh),
            settings={"path": self.path, "rope": model.rotary.mode},
        )

    def _chunks(self, video: Video, shown: list[int], fresh: list[int]) -> Iterator[Tensor]:
        """Yield features of a batch of frames as the path has them, and note how many had to be encoded."""
        for features, encoded in self.features.of(video, shown, shown[1] if len(shown) > 1 else 1):
            fresh.append(encoded)
            yield features if self.path == "short" else features[:, 1:]


def load(
    pretrained: str,
    device: str = "cpu",
    dtype: str = "auto",
    seed: int = 0,
    path: str | None = None,
    rope: str = "faithful",
    config: str = "config.json",
    tower: str | None = None,
    bert: str | None = None,
    max_new_tokens: int = 32,
    store_gib: float = 1.0,
    store_disk_gib: float = 8.0,
) -> LlamaVidAdapter:
    """Load a released checkpoint, a folder or a hub name. Raises UserError saying what is missing or does not fit.

    `path` is short or long; unset it is the one the checkpoint was trained for. `rope` is faithful or exact, `tower`
    the file of the vision tower, `bert` the folder of the Q-Former's words. `seed` changes nothing: decoding is greedy.
    """
    del seed
    if path not in (None, *PROMPTS):
        raise UserError(f"path is short or long, got {path!r}; mend --model_args")
    if not isinstance(max_new_tokens, int) or max_new_tokens < 1:
        raise UserError(f"max_new_tokens is a whole number from 1 on, got {max_new_tokens!r}; mend --model_args")
    kind, folder = dtype_named(dtype, device, torch.float16), locate(pretrained)
    sizes = weights.read(folder, config, bert)
    words = prompt.QueryTokenizer(weights.bert_folder(folder, bert) / "vocab.txt")
    tokenizer = read_tokenizer(folder)
    model = weights.load(folder, sizes, tower=tower, rope=rope, device=device, dtype=kind)
    store = FeatureStore(int(store_gib * 2**30), int(store_disk_gib * 2**30), tempfile.gettempdir())
    features = FrameFeatures(model, store if store_gib or store_disk_gib else None)
    path = path or ("long" if sizes.long_video else "short")
    return LlamaVidAdapter(features, tokenizer, words, path, max_new_tokens)
