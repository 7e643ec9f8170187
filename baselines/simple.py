"""Three simple compressors in the place of ViLaMP's: encoders, connectors, language model and prompt stay the same.

niah run --model uniform --model_args frames=8 --suite smoke        8 frames at bin centres, whole
niah run --model topk --model_args keyframes=8 --suite smoke        the 8 frames most like the query, whole
niah run --model mean --suite smoke                                 every frame, as the mean of its patches

The shipped weights were trained with ViLaMP's compressor and with no other. Until each of these has weights
trained with it, its answers say what a reader makes of tokens it was not trained for, not which rule compresses
best. The default of 8 frames is the K of the shipped model, which shows one token of every other frame besides:
budgets are not matched, and the records count the tokens.

Times are no comparison either: a frame is encoded in its slot of a batch of 64, so that its features can be
reused to the bit, and a few scattered frames cost as many batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from niah.adapters.compressor import Choice, Chunks, Compressor, Connectors, TokenChunk
from niah.adapters.sampling import bin_centres
from niah.run import registry
from niah.settings import positive_int
from niah.types import Adapter


@dataclass(frozen=True)
class Uniform:
    """At most `frames` frames at bin centres. Holds one chunk of patches; nothing grows with the video."""

    frames: int

    guided = False

    def settings(self) -> dict[str, float | str | None]:
        """Return the name and the budget."""
        return {"compressor": "uniform", "frames": self.frames}

    def choose(self, frames: Tensor, query: Tensor) -> Choice:
        """Sample without looking."""
        sampled = bin_centres(len(frames), self.frames)
        return Choice(sampled, sampled)

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return the patches of the sampled frames."""
        return patches * len(choice.seen)

    def compress(self, choice: Choice, query: Tensor, chunks: Chunks, connect: Connectors) -> Iterator[TokenChunk]:
        """Yield each sampled frame whole."""
        return whole(chunks, connect)


@dataclass(frozen=True)
class TopK:
    """The `keyframes` frames most like the query, however like one another.

    ViLaMP's selection less its redundancy rule. Holds the embedding of every frame, as that does
    (4 x dim bytes a frame), while it chooses; then one chunk of patches.
    """

    keyframes: int

    guided = True

    def settings(self) -> dict[str, float | str | None]:
        """Return the name and the budget."""
        return {"compressor": "topk", "keyframes": self.keyframes}

    def choose(self, frames: Tensor, query: Tensor) -> Choice:
        """Take frames by falling relevance; of equals the earlier."""
        best = (frames @ query).argsort(descending=True, stable=True)[: self.keyframes]
        kept = sorted(best.tolist())
        return Choice(kept, kept)

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return the patches of the frames taken."""
        return patches * len(choice.seen)

    def compress(self, choice: Choice, query: Tensor, chunks: Chunks, connect: Connectors) -> Iterator[TokenChunk]:
        """Yield each frame taken whole."""
        return whole(chunks, connect)


@dataclass(frozen=True)
class Mean:
    """Every frame as the mean of its patches, and of the extras a model appends to them. Holds one chunk of patches."""

    guided = False

    def settings(self) -> dict[str, float | str | None]:
        """Return the name; there is nothing to set."""
        return {"compressor": "mean"}

    def choose(self, frames: Tensor, query: Tensor) -> Choice:
        """See all frames, keep none."""
        return Choice(range(len(frames)), ())

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return one token a frame."""
        return len(choice.seen)

    def compress(self, choice: Choice, query: Tensor, chunks: Chunks, connect: Connectors) -> Iterator[TokenChunk]:
        """Yield a chunk's means, through the connector of merged tokens."""
        for numbers, patches in chunks:
            yield TokenChunk(numbers, connect.merged(connect.features(patches).mean(dim=1)))


def whole(chunks: Chunks, connect: Connectors) -> Iterator[TokenChunk]:
    """Yield every patch of every frame, through the connector of keyframes."""
    for numbers, patches in chunks:
        for number, frame in zip(numbers, connect.features(patches), strict=True):
            yield TokenChunk([number] * len(frame), connect.keyframe(frame))


def load_uniform(frames: int = 8, **shared: Any) -> Adapter:
    """Return the micro ViLaMP reading `frames` frames at bin centres; `shared` are settings of the model `vilamp`."""
    return _with(Uniform(positive_int("frames", frames)), shared)


def load_topk(keyframes: int = 8, **shared: Any) -> Adapter:
    """Return the micro ViLaMP reading the `keyframes` most relevant frames; `shared` are settings of `vilamp`."""
    return _with(TopK(positive_int("keyframes", keyframes)), shared)


def load_mean(**shared: Any) -> Adapter:
    """Return the micro ViLaMP reading one mean token a frame; `shared` are settings of the model `vilamp`."""
    return _with(Mean(), shared)


def _with(compressor: Compressor, shared: dict[str, Any]) -> Adapter:
    """Return the registered ViLaMP with another compressor; it is found by its name, as baselines import no model."""
    return registry.load_adapter(registry.find_adapter("vilamp"), {**shared, "compressor": compressor})
