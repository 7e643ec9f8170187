"""The release's training loss, and which ratios a sequence is trained with.

Gradients flow through the kept keys and values of summary tokens into all earlier windows;
that is how the summary tokens learn what to keep.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.video_xl.compress import RatioCurriculum, RatioRule, Window, cut_windows, plan_windows
from baselines.video_xl.config import VideoXLConfig
from baselines.video_xl.language import GradientCache
from baselines.video_xl.model import VideoXL

IGNORED = -100


def training_windows(
    settings: VideoXLConfig,
    visual: int,
    text: int,
    rng: np.random.Generator,
    curriculum: RatioCurriculum | None = None,
    progress: float = 0.0,
) -> list[Window]:
    """Return the windows of a training sequence, with the checkpoint's ratios or a curriculum's.

    The release draws from one list from beginning to end; the curriculum is the paper's.

    Args:
        settings: Of the model that is trained.
        visual: Visual tokens of the sequence.
        text: Its other tokens.
        rng: Where ratios are drawn from.
        curriculum: Takes the place of the checkpoint's ratios.
        progress: How much of the training is over, 0 to 1, for the curriculum.
    """
    rule: RatioRule = settings.rule if curriculum is None else curriculum.at(progress)
    lengths = cut_windows(visual, settings.window)
    return plan_windows(
        lengths, rule.pick(lengths, settings.window, visual + text, settings.language.max_positions, rng)
    )


def loss(
    model: VideoXL,
    prefix: Int[Tensor, " prefix"],
    visual: Float[Tensor, "visual hidden"],
    suffix: Int[Tensor, " suffix"],
    labels: Int[Tensor, " tokens"],
    windows: Sequence[Window],
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of the labelled tokens.

    Args:
        model: The model that is trained.
        prefix: Ids before the video.
        visual: The visual tokens of the video.
        suffix: Ids after the video.
        labels: One for each token of prefix, video and suffix in this order, -100 to ignore it. They are shifted once
            over the whole sequence: summary tokens have none, and a window's last visual token predicts the next
            window's first.
        windows: The windows of the video.
    """
    if len(labels) != len(prefix) + len(visual) + len(suffix):
        raise ValueError(f"{len(labels)} labels for {len(prefix)} + {len(visual)} + {len(suffix)} tokens")
    following = torch.cat([labels[1:], labels.new_full((1,), IGNORED)])  # what each token has to predict
    cache = GradientCache(model.settings.language)
    total = visual.new_zeros(())
    for step in model.read(prefix, windows, lambda window: visual[window.start : window.stop], suffix, cache):
        wanted = following[step.start : step.stop]
        states = step.states if step.window is None else _without_summaries(step.states, step.window)
        labelled = wanted != IGNORED
        if labelled.any():
            total = total + cross_entropy(model.language.logits(states[labelled]), wanted[labelled], reduction="sum")
    return total / (following != IGNORED).sum()


def _without_summaries(states: Float[Tensor, "tokens hidden"], window: Window) -> Float[Tensor, "visual hidden"]:
    """Return the states of the visual tokens alone."""
    places = torch.tensor(list(window.places), dtype=torch.long, device=states.device)
    return states[torch.ones(len(states), dtype=torch.bool, device=states.device).index_fill(0, places, False)]
