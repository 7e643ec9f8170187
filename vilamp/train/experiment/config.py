"""What the experiment trains and asks, and in which order; one YAML file.

The order is one of priority: wherever the queue stops, what is done is balanced. First comes the budget of the
primary contrast, seed by seed; then the other budgets and further schemes with the first seed; then the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from niah.settings import read_yaml
from niah.suite.footage.wording import WORDED_TYPES, WORDINGS
from niah.types import UserError
from vilamp.compressors.budget import TOLERANCE, deviation
from vilamp.compressors.registry import NAMES, build
from vilamp.config import Compression, VilampConfig


@dataclass(frozen=True)
class Budget:
    """Visual tokens a frame, and the lengths at which every scheme comes near enough to them.

    One that not all schemes reach names those that do: it is outside the contrasts, and gets the first seed only.
    """

    tokens: float
    lengths: tuple[int, ...]
    schemes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """What is read for a while: haystacks up to a length, and how targets are told in them."""

    length: int  # frames, those of the clip included; 0: the clip alone
    videos: int  # a step; a video has up to four questions
    until: float  # share of all steps after which it has been left
    told: tuple[str, ...] = WORDINGS  # phrasings, of clips and of what is asked about them
    gaps: float = 0.0  # share of steps whose positions leave gaps, up to those of the course's `farthest` frames

    def __post_init__(self) -> None:
        if self.length < 0 or self.videos < 1 or not set(self.told) <= set(WORDINGS) or not self.told:
            raise ValueError(
                f"a rung has a length of 0 frames or more, a video a step or more, and phrasings out of "
                f"{', '.join(WORDINGS)}; got {self}"
            )


@dataclass(frozen=True)
class Curriculum:
    """How each model is trained: the same steps, gate and examples whatever the scheme.

    The next rung comes when accuracy over the last `window` examples of the present one exceeds `promote`, or when
    its share of the steps is over, so that every scheme is trained at the length asked.
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
    alignment: float = 0.5  # weights of losses the paper does not have, as in vilamp.train
    tracing: float = 0.5
    farthest: int = 10000  # frames

    def __post_init__(self) -> None:
        ends = [rung.until for rung in self.rungs]
        if not ends or ends != sorted(set(ends)) or ends[0] <= 0 or ends[-1] != 1:
            raise ValueError(f"rungs end one after another, the last with the steps (until: 1); got {ends}")
        for rung in self.rungs:
            if not self.places(rung):
                raise ValueError(f"no type of clip is told as {', '.join(rung.told)}; types: {', '.join(self.types)}")

    @property
    def longest(self) -> int:
        """Return the longest haystack that is trained on, in frames."""
        return max(rung.length for rung in self.rungs)

    def places(self, rung: Stage) -> list[int]:
        """Return which of the types a rung has clips of."""
        return [place for place, kind in enumerate(self.types) if WORDED_TYPES[kind] in rung.told]


@dataclass(frozen=True)
class SuitePart:
    """A part of the suite that every trained model is asked; without lengths, those of its budget."""

    name: str
    conditions: tuple[str, ...]
    lengths: tuple[int, ...] = ()
    depths: tuple[float, ...] = (0.1, 0.5, 0.9)
    limit: float | None = None  # how many cases, or a share of them
    seeds: tuple[int, ...] = ()  # only of models of these; none named: of all
    probe: bool = False  # asked of the reader probe, of models that have one, instead of the model
    later: bool = False  # only when all trainings are done: for what costs much and decides nothing


@dataclass(frozen=True)
class Job:
    """One training and the questions put to what it makes."""

    scheme: str
    budget: Budget
    seed: int

    @property
    def name(self) -> str:
        """Its folder: scheme, budget, seed."""
        return f"{self.scheme}-{self.budget.tokens:g}-{self.seed}"


@dataclass(frozen=True)
class Experiment:
    """The whole experiment."""

    name: str
    output: str  # checkpoints and runs: large, and not for keeping
    results: str  # what is kept: records, tables, figures
    suite: str
    budgets: tuple[Budget, ...]  # the first is that of the primary contrast
    asked: tuple[SuitePart, ...]
    schemes: tuple[str, ...] = ("differential", "keyframes", "uniform", "mean", "summary")  # of the contrasts
    further: tuple[str, ...] = ()  # one seed, the first budget
    seeds: tuple[int, ...] = (0, 1, 2)
    rules: str = "HYPOTHESIS.md"  # where it was written down beforehand, as seen from `results`
    contrast: str = "Primary contrast"  # what the first scheme against each other one is called in the verdict
    encoder_from: str = "micro"
    device: str = "cpu"
    minutes: float = 20.0  # of one core that a training may cost
    expected: dict = field(default_factory=dict)  # minutes of one core for a training, by scheme, as measured
    model: VilampConfig = VilampConfig()
    course: Curriculum = Curriculum()
    probe_steps: int = 800

    def model_of(self, job: Job) -> VilampConfig:
        """Return the settings of a job's model."""
        return replace(self.model, compression=Compression(job.scheme, job.budget.tokens))

    def checkpoint(self, job: Job) -> Path:
        """Return the folder of a job's checkpoint."""
        return Path(self.output) / "checkpoints" / job.name

    def probed(self, job: Job) -> bool:
        """Say whether a job's model gets a reader probe: those of the first budget and seed."""
        return (job.budget, job.seed) == (self.budgets[0], self.seeds[0])

    def parts(self, job: Job) -> list[SuitePart]:
        """Return the parts of the suite that a job is asked."""
        return [
            part
            for part in self.asked
            if (not part.probe or self.probed(job)) and (not part.seeds or job.seed in part.seeds)
        ]

    def jobs(self) -> list[Job]:
        """Return all jobs, the most important first."""
        return list(dict.fromkeys(self._jobs()))

    def _jobs(self) -> Iterator[Job]:
        first, *others = [budget for budget in self.budgets if not budget.schemes]
        yield from (Job(scheme, first, seed) for seed in self.seeds for scheme in self.schemes)
        for number, seed in enumerate(self.seeds):
            yield from (Job(scheme, budget, seed) for budget in others for scheme in self.schemes)
            if number == 0:
                yield from (Job(scheme, first, seed) for scheme in self.further)
                yield from (Job(scheme, budget, seed) for budget in self.budgets for scheme in budget.schemes)


def read_experiment(path: Path) -> Experiment:
    """Read and check an experiment. Raises UserError for an unknown scheme or a budget that is not kept to."""
    experiment = read_yaml(Experiment, path)
    partial = (scheme for budget in experiment.budgets for scheme in budget.schemes)
    for scheme in (*experiment.schemes, *experiment.further, *partial):
        if scheme not in NAMES:
            raise UserError(f"{path}: schemes are {', '.join(NAMES)}; got {scheme!r}")
    for budget in experiment.budgets:
        misses = list(budget_mismatches(experiment, budget))
        if misses:
            raise UserError(
                f"{path}: a budget is met within {TOLERANCE:.0%} by every scheme at every length asked, or nothing is "
                f"compared. At {budget.tokens:g} tokens a frame: {'; '.join(misses)}. Leave these lengths out"
            )
    return experiment


def budget_mismatches(experiment: Experiment, budget: Budget) -> Iterator[str]:
    """Say which schemes miss a budget at which lengths, those of every part asked included."""
    lengths = sorted({*budget.lengths, *(length for part in experiment.asked for length in part.lengths)})
    model = experiment.model
    patches, dim = model.vision.side**2, model.clip.embed_dim
    further = experiment.further if budget == experiment.budgets[0] else ()
    for scheme in budget.schemes or (*experiment.schemes, *further):
        made = build(experiment.model_of(Job(scheme, budget, 0)), _smallest())
        for length in lengths:
            missed = deviation(made, budget.tokens, length, dim, patches)
            if abs(missed) > TOLERANCE:
                yield f"{scheme} of {length} frames {missed:+.0%}"


def _smallest() -> Qwen2ForCausalLM:
    """Return a language model that is only there to be counted on: no number of tokens depends on its size."""
    sizes = Qwen2Config(
        vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1,
    )  # fmt: skip
    with torch.random.fork_rng():
        return Qwen2ForCausalLM(sizes)
