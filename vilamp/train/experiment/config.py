"""What the equal-budget experiment trains and asks, in which order, and what it concludes from; one YAML file.

Jobs are ordered by importance, so wherever the queue stops, what is done is balanced. First comes the primary budget,
seed by seed; then the other budgets and the further compressors with the first seed; then the rest.

Field names are the keys of config files and of `train.json`, which say `scheme` for a compressor, `course` for the
curriculum, `rungs` for its stages and `told` for how a question names its target.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from niah.settings import read_yaml
from niah.suite.footage.wording import WORDED_TYPES, WORDINGS, base_type
from niah.types import UserError
from vilamp.compressors.budget import TOLERANCE, deviation
from vilamp.compressors.registry import NAMES, build
from vilamp.config import Compression, VilampConfig


@dataclass(frozen=True)
class Budget:
    """Visual tokens a frame, and the lengths at which every compressor comes near enough to them.

    A budget that not all compressors reach names those that do. It is in no contrast and gets the first seed only.
    """

    tokens: float
    lengths: tuple[int, ...]
    schemes: tuple[str, ...] = ()
    cost: float = 1.0  # of a training, relative to the minutes that the experiment's `expected` names


@dataclass(frozen=True)
class Stage:
    """One stage of the curriculum: haystacks up to a length, and how questions name their targets."""

    length: int  # frames, those of the clip included; 0: the clip alone
    videos: int  # a step; a video has up to four questions
    until: float  # the share of all steps after which the stage is over
    told: tuple[str, ...] = WORDINGS  # how clips and questions name the target
    gaps: float = 0.0  # share of steps whose positions leave gaps, up to those of the curriculum's `farthest` frames

    def __post_init__(self) -> None:
        if self.length < 0 or self.videos < 1 or not set(self.told) <= set(WORDINGS) or not self.told:
            raise ValueError(
                f"a stage has a length of 0 frames or more, a video a step or more, and wordings out of "
                f"{', '.join(WORDINGS)}; got {self}"
            )


@dataclass(frozen=True)
class Curriculum:
    """How each model is trained: the same steps, gate and examples whatever the compressor.

    The next stage comes when the accuracy over the last `window` examples of the present one exceeds `promote`, or
    when the present one's share of the steps is over. So every compressor is trained at the longest length.
    """

    steps: int = 2400
    rate: float = 1e-3
    cooling: float = 0.2  # share of the steps, the last ones, over which the rate falls
    worlds: int = 10
    haystack: int = 600  # frames of each world
    clips: int = 240  # of each world, the types in turn
    types: tuple[str, ...] = (
        "motion-named", "digit-named", "motion-indirect", "digit-indirect", "motion-unnamed", "digit-unnamed",
    )  # fmt: skip
    rungs: tuple[Stage, ...] = (
        Stage(0, 12, 0.25, ("named",)), Stage(0, 8, 0.35), Stage(64, 4, 0.53), Stage(128, 2, 0.73),
        Stage(256, 1, 1.0, gaps=0.2),
    )  # fmt: skip
    promote: float = 0.85
    window: int = 240
    alignment: float = 0.5  # weights of two losses that the paper does not have; see vilamp.train.reader
    tracing: float = 0.5
    farthest: int = 10000  # frames

    def __post_init__(self) -> None:
        ends = [stage.until for stage in self.rungs]
        if not ends or ends != sorted(set(ends)) or ends[0] <= 0 or ends[-1] != 1:
            raise ValueError(f"rungs end one after another, the last with the steps (until: 1); got {ends}")
        for stage in self.rungs:
            if not self.type_indices(stage):
                raise ValueError(
                    f"no type of clip is worded as {', '.join(stage.told)}; types: {', '.join(self.types)}"
                )

    @property
    def longest(self) -> int:
        """Return the longest haystack that is trained on, in frames."""
        return max(stage.length for stage in self.rungs)

    @property
    def base_types(self) -> tuple[str, ...]:
        """Return what questions are about, such as motion and digit, however they name their targets."""
        return tuple(dict.fromkeys(base_type(kind) for kind in self.types))

    def type_indices(self, stage: Stage) -> list[int]:
        """Return the indices of the types whose clips a stage shows."""
        return [index for index, kind in enumerate(self.types) if WORDED_TYPES[kind] in stage.told]


@dataclass(frozen=True)
class SuitePart:
    """A part of the suite that every trained model is asked; without lengths, those of its budget."""

    name: str
    conditions: tuple[str, ...]
    lengths: tuple[int, ...] = ()
    depths: tuple[float, ...] = (0.1, 0.5, 0.9)
    limit: float | None = None  # how many cases, or a share of them
    seeds: tuple[int, ...] = ()  # only models of these seeds; empty: all
    probe: bool = False  # asked of the models' reader probes instead
    later: bool = False  # only when all trainings are done: for what costs much and decides nothing


@dataclass(frozen=True)
class Primary:
    """The primary contrast: one compressor against each other of `schemes`, at the longest trained length."""

    scheme: str
    budget: float  # tokens a frame


@dataclass(frozen=True)
class TypeContrast:
    """A secondary contrast: `scheme` less the mean of `others`, over some question types.

    With `less_types`, the same difference over those types is subtracted: an interaction.
    """

    id: str  # names the resampling, so that the interval is the same every time
    text: str  # what verdict.md calls it
    scheme: str
    others: tuple[str, ...]
    types: tuple[str, ...]
    less_types: tuple[str, ...] = ()


@dataclass(frozen=True)
class GainContrast:
    """A secondary contrast: what `scheme` gains from a small budget to a large one, less what `other` gains."""

    id: str  # names the resampling, so that the interval is the same every time
    text: str  # what verdict.md calls it
    scheme: str
    other: str
    small: float  # tokens a frame
    large: float


@dataclass(frozen=True)
class Secondary:
    """The contrasts beside the primary one; none is corrected for being one of several."""

    types: tuple[TypeContrast, ...] = ()  # at the primary budget
    gains: tuple[GainContrast, ...] = ()


@dataclass(frozen=True)
class TrainingJob:
    """One training, and the questions its model is asked."""

    compressor: str
    budget: Budget
    seed: int

    @property
    def name(self) -> str:
        """Return the name of its folders: compressor, budget, seed."""
        return f"{self.compressor}-{self.budget.tokens:g}-{self.seed}"


@dataclass(frozen=True)
class Experiment:
    """The whole experiment."""

    name: str
    output: str  # checkpoints and runs: large, and not for keeping
    results: str  # what is kept: records, tables, figures
    suite: str
    budgets: tuple[Budget, ...]
    asked: tuple[SuitePart, ...]
    primary: Primary
    secondary: Secondary = Secondary()
    schemes: tuple[str, ...] = ("differential", "keyframes", "uniform", "mean", "summary")  # the compressors compared
    further: tuple[str, ...] = ()  # compressors in no contrast: one seed, the primary budget
    seeds: tuple[int, ...] = (0, 1, 2)
    rules: str = "HYPOTHESIS.md"  # where hypothesis and rules were written down beforehand, relative to `results`
    contrast: str = "Primary contrast"  # what verdict.md calls it
    encoder_from: str = "micro"
    device: str = "cpu"
    minutes: float = 20.0  # of one core that a training may cost
    expected: dict = field(default_factory=dict)  # minutes of one core for a training, by compressor, as measured
    model: VilampConfig = VilampConfig()
    course: Curriculum = Curriculum()
    probe_steps: int = 800

    def __post_init__(self) -> None:
        budgets = [budget.tokens for budget in self.budgets]
        if self.primary.budget not in budgets:
            raise ValueError(f"the primary budget is one of {budgets}; got {self.primary.budget:g}")
        if self.primary.scheme not in self.schemes:
            raise ValueError(f"the primary compressor is one of {', '.join(self.schemes)}; got {self.primary.scheme}")
        for contrast in self.secondary.types:
            if unknown := {contrast.scheme, *contrast.others} - set(self.schemes):
                raise ValueError(f"contrasts are between {', '.join(self.schemes)}; got {', '.join(sorted(unknown))}")
        for contrast in self.secondary.gains:
            if not {contrast.small, contrast.large} <= set(budgets):
                raise ValueError(
                    f"gains are between budgets of {budgets}; got {contrast.small:g} and {contrast.large:g}"
                )

    @property
    def primary_budget(self) -> Budget:
        """Return the budget of the primary contrast."""
        return next(budget for budget in self.budgets if budget.tokens == self.primary.budget)

    def model_of(self, job: TrainingJob) -> VilampConfig:
        """Return the settings of a job's model."""
        return replace(self.model, compression=Compression(job.compressor, job.budget.tokens))

    def checkpoint(self, job: TrainingJob) -> Path:
        """Return the folder of a job's checkpoint."""
        return Path(self.output) / "checkpoints" / job.name

    def has_probe(self, job: TrainingJob) -> bool:
        """Return True if a job's model gets a reader probe: at the primary budget, with the first seed."""
        return (job.budget, job.seed) == (self.primary_budget, self.seeds[0])

    def parts(self, job: TrainingJob) -> list[SuitePart]:
        """Return the parts of the suite that a job's model is asked."""
        return [
            part
            for part in self.asked
            if (not part.probe or self.has_probe(job)) and (not part.seeds or job.seed in part.seeds)
        ]

    def jobs(self) -> list[TrainingJob]:
        """Return all jobs, the most important first."""
        return list(dict.fromkeys(self._jobs()))

    def _jobs(self) -> Iterator[TrainingJob]:
        primary = self.primary_budget
        others = [budget for budget in self.budgets if not budget.schemes and budget != primary]
        yield from (TrainingJob(compressor, primary, seed) for seed in self.seeds for compressor in self.schemes)
        for number, seed in enumerate(self.seeds):
            yield from (TrainingJob(compressor, budget, seed) for budget in others for compressor in self.schemes)
            if number == 0:
                yield from (TrainingJob(compressor, primary, seed) for compressor in self.further)
                yield from (
                    TrainingJob(compressor, budget, seed) for budget in self.budgets for compressor in budget.schemes
                )


def read_experiment(path: Path) -> Experiment:
    """Read and check an experiment. Raises UserError for an unknown compressor or a budget that is not kept to."""
    experiment = read_yaml(Experiment, path)
    of_one_budget = (name for budget in experiment.budgets for name in budget.schemes)
    for name in (*experiment.schemes, *experiment.further, *of_one_budget):
        if name not in NAMES:
            raise UserError(f"{path}: compressors are {', '.join(NAMES)}; got {name!r}")
    for budget in experiment.budgets:
        mismatches = list(budget_mismatches(experiment, budget))
        if mismatches:
            raise UserError(
                f"{path}: every compressor must meet a budget within {TOLERANCE:.0%} at every length asked, or nothing "
                f"is compared. At {budget.tokens:g} tokens a frame: {'; '.join(mismatches)}. Leave these lengths out"
            )
    return experiment


def budget_mismatches(experiment: Experiment, budget: Budget) -> Iterator[str]:
    """Yield which compressors miss a budget at which lengths, those of every part asked included."""
    lengths = sorted({*budget.lengths, *(length for part in experiment.asked for length in part.lengths)})
    patches = experiment.model.vision.side**2
    dim = experiment.model.clip.embed_dim
    further = experiment.further if budget == experiment.primary_budget else ()
    for name in budget.schemes or (*experiment.schemes, *further):
        compressor = build(experiment.model_of(TrainingJob(name, budget, 0)), _smallest_language_model())
        for length in lengths:
            missed = deviation(compressor, budget.tokens, length, dim, patches)
            if abs(missed) > TOLERANCE:
                yield f"{name} of {length} frames {missed:+.0%}"


def _smallest_language_model() -> Qwen2ForCausalLM:
    """Return a language model for compressors that want one; no number of tokens depends on its size."""
    sizes = Qwen2Config(
        vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1,
    )  # fmt: skip
    with torch.random.fork_rng():
        return Qwen2ForCausalLM(sizes)
