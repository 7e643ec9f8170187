"""The compressors that a micro model can be trained with, by the name its config has for them."""

from __future__ import annotations

from collections.abc import Callable

from transformers import Qwen2ForCausalLM

from niah.adapters.compressor import Compressor
from niah.settings import unknown_name
from niah.types import UserError
from vilamp.compressors.budget import FixedFrames, TokenBudget
from vilamp.compressors.differential import Differential
from vilamp.compressors.learned import Abstractor, ContextAndContent, QueryPooling
from vilamp.compressors.merging import MemoryBank, MergeTokens
from vilamp.compressors.pooled import Mean, MergedOnly
from vilamp.compressors.selected import Reduce, Retrieve
from vilamp.compressors.streaming import SlidingWindow
from vilamp.compressors.summary import SummaryTokens
from vilamp.compressors.whole import BudgetedDifferential, Keyframes, PooledFrames, Uniform
from vilamp.config import VilampConfig

Maker = Callable[[float, VilampConfig, Qwen2ForCausalLM], Compressor]

MAKERS: dict[str, Maker] = {
    "differential": lambda budget, config, _: BudgetedDifferential(Differential.of(config), tokens(budget, config)),
    "keyframes": lambda budget, config, _: Keyframes(Differential.of(config), tokens(budget, config)),
    "uniform": lambda budget, config, _: Uniform(tokens(budget, config)),
    "pooled_frames": lambda budget, config, _: PooledFrames(FixedFrames(whole_number(budget))),
    "mean": lambda budget, config, _: Mean(budget),
    "summary": lambda budget, config, language: SummaryTokens(budget, language),
    "merged": lambda budget, config, _: MergedOnly(budget, config.temperature),
    "llama_vid": lambda budget, config, _: ContextAndContent(budget, config.vision.hidden_size),
    "videochat_flash": lambda budget, config, _: MergeTokens(budget, channels(config)),
    "qformer": lambda budget, config, _: QueryPooling(budget, channels(config)),
    "abstractor": lambda budget, config, _: Abstractor(budget, channels(config)),
    "memory_bank": lambda budget, config, _: MemoryBank(budget),
    "retrieve": lambda budget, config, _: Retrieve(budget),
    "longvu": lambda budget, config, _: Reduce(budget, patches(config)),
    "streaming": lambda budget, config, language: SlidingWindow(budget, patches(config), len(language.model.layers)),
}
NAMES = tuple(MAKERS)


def build(config: VilampConfig, language: Qwen2ForCausalLM) -> Compressor:
    """Return the compressor a checkpoint is trained with. Raises UserError for a name there is not."""
    wanted = config.compression
    assert wanted is not None  # without one, a checkpoint has ViLaMP's own compressor and its K
    if wanted.scheme not in MAKERS:
        raise UserError(f"compression: {unknown_name('compressor', wanted.scheme, NAMES)}")
    return MAKERS[wanted.scheme](wanted.budget, config, language)


def tokens(budget: float, config: VilampConfig) -> TokenBudget:
    """Return the whole frames that a budget of tokens a frame buys."""
    return TokenBudget(budget, patches(config))


def whole_number(budget: float) -> int:
    """Return a budget of whole frames. Raises UserError for a fraction of one."""
    if budget != int(budget):
        raise UserError(f"compression pooled_frames has a whole number of frames as its budget, got {budget:g}")
    return int(budget)


def patches(config: VilampConfig) -> int:
    """Return the patches of a frame."""
    return config.vision.side**2


def channels(config: VilampConfig) -> int:
    """Return the numbers a patch has with the model's extras, a late question's cosine not counted."""
    return config.vision.hidden_size + config.extras.channels
