"""ViLaMP with random weights, run in three ways, for `niah.adapters.bench`.

"streamed" is this project's. "cached" is the same where every patch feature already lies in host memory.
"as_released" batches, attends and keeps logits as the release does: CLIP and SigLIP over all frames at once,
every projected patch and six tensors of its size around the composer, the cosines of all frames with all
frames, the query mapped for each patch, one prefill with a mask, and logits of every position.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from niah.adapters.bench import NoiseVideo, StageCosts
from niah.adapters.checkpoint import fill_at_random
from niah.adapters.meter import clock
from niah.adapters.qwen import prefill
from niah.adapters.to_device import to_device
from niah.adapters.trace import Repeat, is_traced, shapes
from vilamp.keyframes import fill_gaps, select_keyframes
from vilamp.merge import anchors
from vilamp.release.behaviour import RELEASE
from vilamp.release.composer import SigPooling, pool_grid
from vilamp.release.config import LanguageSizes, ReleaseConfig
from vilamp.release.load import build
from vilamp.release.model import VIDEO, ReleasedVilamp
from vilamp.release.tower_sizes import CLIP, HALF, SIGLIP, SIGLIP_PICTURE, ClipSizes, PictureSizes, TransformerSizes

CHUNK, COMPOSED, TEXT = 32, 8, 80  # frames encoded and merged at a time; tokens of text
COSINES = 60  # frames whose cosines the release computes at a time, on the CPU
FULL = ReleaseConfig(
    SIGLIP,
    SIGLIP_PICTURE,
    CLIP,
    LanguageSizes(TransformerSizes(3584, 18944, 28, 28, 1e-6), 4, 152064, 32768, 1e6),
    keyframes=32,
    threshold=0.85,
    longest=32768,
    behaviour=RELEASE,
)
TINY = ReleaseConfig(
    TransformerSizes(32, 48, 2, 4, 1e-6),
    PictureSizes(38, 5, HALF, HALF),
    ClipSizes(
        TransformerSizes(40, 64, 2, 4, 1e-5), PictureSizes(32, 8, HALF, HALF), TransformerSizes(32, 48, 2, 4, 1e-5),
        99, 24, 24,
    ),
    LanguageSizes(TransformerSizes(64, 96, 2, 4, 1e-6), 2, 320, 32768, 1e6),
    keyframes=8,
    threshold=0.85,
    longest=32768,
    behaviour=RELEASE,
)  # fmt: skip
CONFIGS = {"7b": FULL, "tiny": TINY}


class VilampBench:
    """The model and its ways to run."""

    def __init__(self, model: ReleasedVilamp, compiled: bool) -> None:
        self.model, self.device, self.side = model, model.device, model.config.siglip_picture.side
        self.rate = matrix_rate(self.device, model.dtype)
        if compiled:
            model.vision.encoder.compile()
        towers = (model.encode_clip, model.encode_patches)
        self.repeats = tuple(Repeat((model,), tower.__name__, shapes) for tower in towers)

    def run(self, video: NoiseVideo, execution: str) -> StageCosts:
        """Read a video and a question up to the first logits on the host."""
        runs = {"streamed": self._streamed, "cached": self._cached, "as_released": self._as_released}
        seconds, tokens = runs[execution](video)
        return StageCosts({**seconds, "matrices_per_trillion": 1e12 / self.rate}, tokens)

    def _streamed(self, video: NoiseVideo) -> tuple[dict[str, float], int]:
        times = StageTimer(self.device)
        embeddings, query = self._clip(video), self._query()
        times.end("clip")
        kept = self._select(embeddings, query)
        times.end("select")
        return self._finish(times, kept, embeddings, query, self._patches(video, times))

    def _cached(self, video: NoiseVideo) -> tuple[dict[str, float], int]:
        """Take embeddings and patches as a store hands them over, from host memory."""
        config, count = self.model.config, len(video)
        host = torch.zeros(CHUNK, config.patches, config.siglip.hidden_size, dtype=self.model.dtype).normal_()
        embeddings = torch.randn(count, config.clip.width).to(self.device, self.model.dtype)
        times = StageTimer(self.device)
        query = self._query()
        times.end("clip")
        kept = self._select(embeddings, query)
        times.end("select")
        parts = (host[: min(CHUNK, count - start)].clone().to(self.device) for start in range(0, count, CHUNK))
        return self._finish(times, kept, embeddings, query, parts)

    def _finish(
        self,
        times: StageTimer,
        kept: list[int],
        embeddings: Float[Tensor, "frames clip"],
        query: Float[Tensor, " clip"],
        chunks: Iterator[Float[Tensor, "_frames patches dim"]],
    ) -> tuple[dict[str, float], int]:
        """Merge and prefill."""
        model = self.model
        ids = [*range(TEXT // 2), VIDEO, *range(TEXT // 2)]
        whole, room = model.sequence(ids, model.visual_tokens(len(embeddings), len(kept)))
        parts = (part for chunk in chunks for part in chunk.split(COMPOSED))
        model.write_video(room, model.tokens(kept, embeddings, query, parts))
        times.end("merge")
        prefill(model.language, whole, room=1)[1].cpu()
        times.end("prefill")
        return times.seconds, len(whole)

    def _select(self, embeddings: Float[Tensor, "frames clip"], query: Float[Tensor, " clip"]) -> list[int]:
        """Return keyframes; where tensors have no values, as many evenly spread: costs depend on their number."""
        if is_traced():
            return fill_gaps([], len(embeddings), self.model.config.keyframes)
        return self.model.select(embeddings, query)[1]

    def _clip(self, video: NoiseVideo) -> Float[Tensor, "frames clip"]:
        side, size = self.model.config.clip.picture.side, len(video)
        video.announce(range(size))
        return torch.cat(
            [
                self.model.encode_clip(self._pixels(video, range(start, min(start + CHUNK, size)), side))
                for start in range(0, size, CHUNK)
            ]
        )

    def _query(self) -> Float[Tensor, " clip"]:
        return self.model.encode_query(torch.arange(12, device=self.device)[None])

    def _patches(self, video: NoiseVideo, times: StageTimer) -> Iterator[Float[Tensor, "_frames patches dim"]]:
        video.announce(range(-(-len(video) // CHUNK) * CHUNK))
        for start in range(0, len(video), CHUNK):
            times.end("merge")
            pixels = self._pixels(video, range(start, start + CHUNK), self.side)  # of one shape, also the last
            patches = self.model.encode_patches(pixels)[: len(video) - start]
            times.end("vision")
            yield patches

    def _pixels(self, video: NoiseVideo, frames: range, side: int) -> Float[Tensor, "frames 3 {side} {side}"]:
        """Return pixels of a tower's size; frames are cropped, not resized: resizing belongs to decoding."""
        bytes_ = to_device(torch.from_numpy(np.ascontiguousarray(video.frames(frames)[:, :side, :side])), self.device)
        return bytes_.permute(0, 3, 1, 2).to(self.model.dtype) / 127.5 - 1

    def _as_released(self, video: NoiseVideo) -> tuple[dict[str, float], int]:
        model, count, times = self.model, len(video), StageTimer(self.device)
        everything = range(count)
        embeddings = model.clip.encode_image(self._pixels(video, everything, model.config.clip.picture.side))
        query = self._query()
        times.end("clip")
        unit = normalize(embeddings.float(), dim=-1)
        similar = unit @ unit.T  # (frames, frames): all of it, as the release has it
        limit, threshold = model.config.keyframes, model.config.threshold
        direction = normalize(query.float(), dim=-1)
        greedy = [] if is_traced() else select_keyframes(unit, direction, limit, threshold, keep_ties=True)
        kept = fill_gaps(greedy, count, limit)
        del similar
        times.end("select")
        pixels = self._pixels(video, everything, self.side)
        projected = model.projector(model.vision(pixels))  # (frames, patches, width)
        times.end("vision")
        merged = compose_as_released(model, projected, kept, query)
        tokens = pool_grid(projected[kept], "bilinear")
        rows = [tokens[kept.index(n)] if n in kept else merged[n : n + 1] for n in everything]
        text = model.embed(range(TEXT))
        whole = torch.cat([text[: TEXT // 2], *rows, model.image_newline[None], text[TEXT // 2 :]])
        times.end("merge")
        model.language.config._attn_implementation = "sdpa"
        logits = model.language(inputs_embeds=whole[None], use_cache=True).logits.float()  # of every position
        logits[0, -1].cpu()
        times.end("prefill")
        return times.seconds, len(whole)


class StageTimer:
    """Adds up seconds by stage, the device synchronised at the end of each."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, {}
        self._last = clock(device)

    def end(self, stage: str) -> None:
        """Count the time since the end of the last stage to this one."""
        now = clock(self.device)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


def compose_as_released(
    model: ReleasedVilamp,
    projected: Float[Tensor, "frames patches width"],
    kept: list[int],
    query: Float[Tensor, " clip"],
) -> Float[Tensor, "frames width"]:
    """Merge every frame, keyframes too, with everything held at once."""
    composer = cast(SigPooling, model.composer)
    found = anchors(kept, len(projected), by_number=True)
    index = torch.tensor([n if a < 0 else a for n, a in enumerate(found)], device=projected.device)
    expanded = projected[index]  # (frames, patches, width), an anchor for every frame
    queries = composer.linear_q(query.expand(*projected.shape[:2], -1).contiguous())
    keys, by_query, by_key = composer.linear_k(expanded), composer.linear_iq(projected), composer.linear_ik(projected)
    saliency = []
    for start in range(0, len(projected), COSINES):
        part = slice(start, start + COSINES)
        four = [tensor[part].cpu() for tensor in (queries, by_query, keys, by_key)]
        relevance, redundancy = cosine_similarity(*four[:2], dim=-1), cosine_similarity(*four[2:], dim=-1)
        saliency.append((relevance - redundancy).to(projected.device))
    weights = (torch.cat(saliency) / composer.tau).softmax(-1)  # (frames, patches)
    return torch.einsum("fp,fpd->fd", weights.to(projected.dtype), projected)


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return multiply-adds a second of a large square matrix product, the best of five."""
    side = 8192 if device.type == "cuda" else 256
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        began = clock(device)
        torch.mm(one, other)
        best = min(best, clock(device) - began)
    return side**3 / best


def random_model(config: ReleaseConfig, device: str, dtype: torch.dtype) -> ReleasedVilamp:
    """Return a model with seeded random weights, made on the device one tensor at a time."""
    model = build(config)
    fill_at_random(model, device, dtype)
    cast(SigPooling, model.composer).tau.fill_(0.01)
    return model
