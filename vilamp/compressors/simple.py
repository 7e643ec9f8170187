"""Three simple compressors in the place of ViLaMP's: encoders, connectors, language model and prompt stay the same.

niah run --model uniform --suite smoke                              32 frames at bin centres, 16 tokens each
niah run --model topk --model_args keyframes=8 --suite smoke        the 8 frames most like the query, whole
niah run --model mean --suite smoke                                 every frame, as the mean of its patches

`uniform` has weights of its own (configs/train/rivals.yaml). `topk` and `mean` have not: they run on weights trained
with ViLaMP's compressor, so their answers show what a language model makes of tokens it was not trained for, not which
rule compresses best. `uniform` with `pretrained=micro` is the third of that kind: 8 whole frames. Budgets are not
matched, and the records count the tokens.

Times are not comparable either: a frame is encoded in its row of a batch of 64, so that its features can be
reused to the bit, and a few scattered frames cost as many batches.
"""

from __future__ import annotations

from typing import Any

from niah.settings import positive_int
from niah.types import Adapter
from vilamp import checkpoint
from vilamp.adapter import load
from vilamp.compressors.budget import FixedFrames
from vilamp.compressors.pooled import Mean
from vilamp.compressors.whole import PooledFrames, TopK, Uniform

WHOLE_FRAMES = 8  # the K of the checkpoint `micro`, which shows one token of every other frame besides


def load_uniform(frames: Any = None, pretrained: str = "micro-uniform", **shared: Any) -> Adapter:
    """Return a micro model reading frames at bin centres; `shared` are settings of the model `vilamp`.

    Without `frames` it reads as many as its checkpoint was trained with, or 8. They are pooled where those were.
    """
    trained = checkpoint.compression_of(pretrained)
    is_pooled = trained is not None and trained.scheme == "pooled_frames"
    usual = int(trained.budget) if trained is not None and is_pooled else WHOLE_FRAMES
    limit = FixedFrames(positive_int("frames", usual if frames is None else frames))
    return load(compressor=PooledFrames(limit) if is_pooled else Uniform(limit), pretrained=pretrained, **shared)


def load_topk(keyframes: Any = 8, pretrained: str = "micro", **shared: Any) -> Adapter:
    """Return the micro ViLaMP reading the `keyframes` most relevant frames; `shared` are settings of `vilamp`."""
    return load(
        compressor=TopK(FixedFrames(positive_int("keyframes", keyframes), "keyframes")), pretrained=pretrained, **shared
    )


def load_mean(pretrained: str = "micro", **shared: Any) -> Adapter:
    """Return the micro ViLaMP reading one mean token a frame; `shared` are settings of the model `vilamp`."""
    return load(compressor=Mean(), pretrained=pretrained, **shared)
