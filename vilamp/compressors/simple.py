"""Three simple compressors in the place of ViLaMP's: encoders, connectors, language model and prompt stay the same.

python -m niah.run --model uniform --model_args frames=8 --suite smoke        8 frames at bin centres, whole
python -m niah.run --model topk --model_args keyframes=8 --suite smoke        the 8 frames most like the query, whole
python -m niah.run --model mean --suite smoke                                 every frame, as the mean of its patches

The shipped weights were trained with ViLaMP's compressor and with no other. Until each of these has weights
trained with it, its answers show what a reader makes of tokens it was not trained for, not which rule compresses
best. The default of 8 frames is the K of the shipped model, which shows one token of every other frame besides:
budgets are not matched, and the records count the tokens.

Times are not comparable either: a frame is encoded in its row of a batch of 64, so that its features can be
reused to the bit, and a few scattered frames cost as many batches.
"""

from __future__ import annotations

from typing import Any

from niah.settings import positive_int
from niah.types import Adapter
from vilamp.adapter import load
from vilamp.compressors.budget import FixedFrames
from vilamp.compressors.pooled import Mean
from vilamp.compressors.whole import TopK, Uniform


def load_uniform(frames: Any = 8, pretrained: str = "micro", **shared: Any) -> Adapter:
    """Return the micro ViLaMP reading `frames` frames at bin centres; `shared` are settings of the model `vilamp`."""
    return load(compressor=Uniform(FixedFrames(positive_int("frames", frames))), pretrained=pretrained, **shared)


def load_topk(keyframes: Any = 8, pretrained: str = "micro", **shared: Any) -> Adapter:
    """Return the micro ViLaMP reading the `keyframes` most relevant frames; `shared` are settings of `vilamp`."""
    return load(
        compressor=TopK(FixedFrames(positive_int("keyframes", keyframes), "keyframes")), pretrained=pretrained, **shared
    )


def load_mean(pretrained: str = "micro", **shared: Any) -> Adapter:
    """Return the micro ViLaMP reading one mean token a frame; `shared` are settings of the model `vilamp`."""
    return load(compressor=Mean(), pretrained=pretrained, **shared)
