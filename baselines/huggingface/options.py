"""The likelihood of each option of a question, from one prefill of its prompt."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from niah.adapters.generation import check_finite
from niah.adapters.kv_cache import cache_arguments
from niah.types import LETTERS, OptionLikelihood, Question


def option_texts(question: Question, answer_by: str) -> tuple[str, ...]:
    """Return what is scored of each option: its letter or its text."""
    return tuple(LETTERS[: len(question.options)]) if answer_by == "letters" else question.options


@torch.inference_mode()
def score_options(model: Any, inputs: Mapping[str, Any], options: Sequence[Sequence[int]]) -> list[float]:
    """Return the sum of the log-probabilities of each option's tokens behind a prompt.

    The prompt passes once; every option continues from its cache.
    """
    forget_positions(model)
    whole = model(**inputs, use_cache=True, logits_to_keep=1)
    first = check_finite(whole.logits[0, -1]).float().log_softmax(-1)
    return [_score(model, whole.past_key_values, first, option) for option in options]


def forget_positions(model: Any) -> None:
    """Drop what a Qwen-VL keeps of the video before: it would shift the positions of a question without one."""
    for module in model.modules():
        if "rope_deltas" in vars(module):
            module.rope_deltas = None


def likelihoods(
    texts: Sequence[str], options: Sequence[Sequence[int]], sums: Sequence[float], blind: Sequence[float]
) -> tuple[OptionLikelihood, ...]:
    """Return what a record keeps of each option; `blind` are the sums after the question alone."""
    rows = zip(texts, options, sums, blind, strict=True)
    return tuple(OptionLikelihood(total, len(ids), len(text.encode()), alone) for text, ids, total, alone in rows)


def _score(model: Any, cache: Any, first: torch.Tensor, option: Sequence[int]) -> float:
    """Return the sum of one option's log-probabilities; `cache` is left as it was."""
    total = float(first[option[0]])
    if len(option) == 1:
        return total
    kept = _can_be_cropped(cache)
    used = cache if kept else copy.deepcopy(cache)
    ids = torch.tensor([list(option[:-1])], device=first.device)
    # Without a mask: nothing is padded, and Qwen-VL would give positions to all that a mask covers.
    logits = model(input_ids=ids, **cache_arguments(model, used)).logits[0]
    if kept:
        cache.crop(-ids.shape[1])
    chances = check_finite(logits).float().log_softmax(-1)  # (tokens of the option but the last, vocabulary)
    return total + sum(float(row[token]) for row, token in zip(chances, option[1:], strict=True))


def _can_be_cropped(cache: Any) -> bool:
    """Return True for a cache whose every layer keeps all tokens apart: no window, no running state."""
    return type(cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in cache.layers)
