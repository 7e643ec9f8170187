"""The loop that every training here runs: AdamW steps at a scheduled rate, a curve, and a state to resume from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from vilamp.train.journal import Journal

STEPS_BETWEEN_STATES = 100
STEPS_BETWEEN_CURVE_ROWS = 20
WARMUP = 100  # steps

StepLoss = tuple[Float[Tensor, ""], dict[str, float | int]]


def train_stage(
    journal: Journal,
    stage: str,
    steps: int,
    step_loss: Callable[[int], StepLoss],
    parameters: Sequence[nn.Parameter],
    rate: Callable[[int], float],
    weight_decay: float,
    state: Callable[[], dict[str, Any]],
    label: str | None = None,
) -> None:
    """Train one stage to its end, from the step at which the journal's state stopped.

    Args:
        journal: Holds the state to resume from, and gets the curve and every further state.
        stage: The stage's name in the curve and in the state.
        steps: How many steps the whole stage has.
        step_loss: Returns the loss of a step, and what the curve shows of it.
        parameters: What is trained.
        rate: Returns the learning rate of a step.
        weight_decay: AdamW's.
        state: Returns what to save besides the optimizer's state; called after a step.
        label: What the progress bar shows; the stage's name by default.
    """
    optimizer = torch.optim.AdamW(parameters, lr=rate(0), weight_decay=weight_decay)
    if "optimizer" in journal.state:
        optimizer.load_state_dict(journal.state["optimizer"])
    start = journal.state["step"]
    progress = tqdm(range(start, steps), initial=start, total=steps, desc=label or stage, unit="step")
    for step in progress:
        loss, curve_row = step_loss(step)
        optimizer_step(optimizer, loss, parameters, rate(step))
        if step % STEPS_BETWEEN_CURVE_ROWS == 0:
            journal.add_curve_row(stage, step, curve_row)
            progress.set_postfix({name: f"{value:.2f}" for name, value in curve_row.items()})
        if step % STEPS_BETWEEN_STATES == STEPS_BETWEEN_STATES - 1:
            journal.save(stage, step + 1, optimizer=optimizer.state_dict(), **state())


def optimizer_step(
    optimizer: torch.optim.Optimizer, loss: Float[Tensor, ""], parameters: Sequence[nn.Parameter], rate: float
) -> None:
    """Take one step at a learning rate, with the norm of the gradients clipped at 1."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()


def cosine_rate(rate: float, step: int, steps: int, floor: float = 0.05) -> float:
    """Return the learning rate of a step: a linear warm-up, then half a cosine from `rate` to `floor * rate`."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return rate * min(1.0, _warmup(step)) * (floor + (1 - floor) * cosine)


def hold_then_cool(rate: float, step: int, steps: int, cooling: float) -> float:
    """Return the learning rate of a step: a linear warm-up, then `rate`, then a linear fall to a twentieth of it.

    The fall takes the last `cooling` of the steps. Long haystacks come late in training, so the rate stays high
    until then: they must be learned too.
    """
    remaining = (steps - step) / (cooling * steps)
    return rate * min(1.0, _warmup(step), max(0.05, remaining))


def _warmup(step: int) -> float:
    """Return which share of the warm-up is done after a step; above 1 once it is over."""
    return (step + 1) / WARMUP
