"""The release's training loss, and which ratios a sequence is trained with.

Gradients flow through the kept keys and values of summary tokens into all earlier windows;
that is how the summary tokens learn what to keep.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.video_xl.cache import GradientCache
from baselines.video_xl.config import VideoXLConfig
from baselines.video_xl.model import VideoXL
from baselines.video_xl.ratios import Curriculum, RatioRule
from baselines.video_xl.windows import Window, cut, plan

IGNORED = -100


def training_windows(
    settings: VideoXLConfig,
    visual: int,
    text: int,
    rng: np.random.Generator,
    curriculum: Curriculum | None = None,
    progress: float = 0.0,
) -> list[Window]:
    """Cut `visual` tokens into windows with the checkpoint's ratios, or with the curriculum's after `progress`.

    The release draws from one list from beginning to end; the curriculum is the paper's.
    """
    rule: RatioRule = settings.rule if curriculum is None else curriculum.at(progress)
    lengths = cut(visual, settings.window)
    return plan(lengths, rule.pick(lengths, settings.window, visual + text, settings.language.max_positions, rng))


def loss(
    model: VideoXL, prefix: Tensor, visual: Tensor, suffix: Tensor, labels: Tensor, windows: Sequence[Window]
) -> Tensor:
    """Return the mean cross-entropy of the labelled tokens, a scalar.

    (tokens,) `prefix` and `suffix` ids stand before and after (tokens, hidden) `visual` tokens. `labels` has a
    label for each of them in this order, -100 to ignore it, and is shifted once over the whole sequence:
    summary tokens are never labelled, and a window's last visual token predicts the next window's first.
    """
    if len(labels) != len(prefix) + len(visual) + len(suffix):
        raise ValueError(f"{len(labels)} labels for {len(prefix)} + {len(visual)} + {len(suffix)} tokens")
    following = torch.cat([labels[1:], labels.new_full((1,), IGNORED)])  # what each token has to predict
    cache = GradientCache(model.settings.language)
    total = visual.new_zeros(())
    for taken in model.read(prefix, windows, lambda window: visual[window.start : window.stop], suffix, cache):
        wanted = following[taken.start : taken.stop]
        states = taken.states if taken.window is None else _without_summaries(taken.states, taken.window)
        labelled = wanted != IGNORED
        if labelled.any():
            total = total + cross_entropy(model.language.logits(states[labelled]), wanted[labelled], reduction="sum")
    return total / (following != IGNORED).sum()


def _without_summaries(states: Tensor, window: Window) -> Tensor:
    """Return the states of the visual tokens alone."""
    places = torch.tensor(list(window.places), dtype=torch.long, device=states.device)
    return states[torch.ones(len(states), dtype=torch.bool, device=states.device).index_fill(0, places, False)]
