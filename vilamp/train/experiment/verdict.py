"""Write down what the numbers of the experiment allow to be concluded.

verdict.md is committed, so its text stays as it is, `scheme` for a compressor included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vilamp.train.experiment.config import Experiment
from vilamp.train.experiment.contrasts import Contrast, ContrastEstimate, Gate

if TYPE_CHECKING:
    from vilamp.train.experiment.analyse import ProbeRow


def verdict(
    experiment: Experiment,
    done: int,
    all_gates: Sequence[Gate],
    primary: Sequence[Contrast],
    secondary: Mapping[str, ContrastEstimate | None],
    probe_rows: Sequence[ProbeRow],
    trainings: Sequence[Mapping[str, Any]],
) -> str:
    """Return the contents of verdict.md.

    Args:
        experiment: Says what was to be done.
        done: How many trainings are done and asked.
        all_gates: Which trainings passed their gate.
        primary: The primary contrasts.
        secondary: The secondary ones, by their text.
        probe_rows: The lines of probe.csv.
        trainings: The lines of trainings.csv.
    """
    budget = experiment.primary.budget
    length = experiment.course.longest
    lines = [
        f"# {experiment.name}: what the records say",
        "",
        f"{done} of {len(experiment.jobs())} trainings are done and asked. Hypothesis and rules: {experiment.rules}.",
        "",
        f"## {experiment.contrast}: {budget:g} tokens a frame, {length} frames, all types",
        "",
        *[contrast_text(one) for one in primary],
        "",
        "## Secondary",
        "",
        *[f"- {name}: {_secondary_text(estimate)}" for name, estimate in secondary.items()],
        "",
        "## What is left to read, whoever could read it",
        "",
        *([f"- {row.compressor}: probe {row.probe:.1%}, model {row.model:.1%} of {row.n}" for row in probe_rows
           if (row.condition, row.type) == ("full", "all")] or ["- no probe asked yet"]),
        "",
        "The probe is told where the needle lies; one seed, the primary budget and length.",
        "",
        "## Trainings that did not train (needle_only not above chance), and are in no contrast",
        "",
        *([f"- {gate.compressor}, {gate.budget:g} tokens, seed {gate.seed}: {gate.right} of {gate.n}"
           for gate in all_gates if not gate.trained] or ["- none"]),
        "",
        f"## Trainings that cost more than {experiment.minutes:g} minutes of one core",
        "",
        *([f"- {one['compressor']}, {one['budget']:g} tokens, seed {one['seed']}: {one['minutes']:.1f}"
           for one in trainings if not one["within_limit"]] or ["- none"]),
        "",
        "Intervals redraw seeds, haystacks and the needles in them; p is from a t-test whose variance is that between "
        f"seeds plus that between haystacks. {len(experiment.seeds)} seeds are few: no finding is no evidence that "
        "schemes are equal. Lengths beyond the longest trained are extrapolation and in no contrast.",
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def contrast_text(contrast: Contrast) -> str:
    """Return a primary contrast as a sentence."""
    name = f"- `{contrast.first}` less `{contrast.second}`"
    estimate = contrast.estimate
    if estimate is None:
        return f"{name}: no verdict, fewer than two pairs of seeds trained"
    if contrast.corrected is None:
        return f"{name}: {_points(estimate)}, no verdict, as nothing varies between seeds and haystacks"
    signs = {(value > 0) - (value < 0) for value in estimate.seeds.values()}
    agreement = "all seeds on one side" if signs in ({1}, {-1}) else "seeds disagree in sign"
    finding = "no difference found"
    if contrast.found:
        finding = "ABOVE" if estimate.value > 0 else "BELOW"
    return f"{name}: {_points(estimate)}, Holm p {contrast.corrected:.3f}, {agreement}: {finding}"


def _secondary_text(estimate: ContrastEstimate | None) -> str:
    """Return a secondary contrast; the interval of a few seeds is too narrow to conclude from it alone."""
    if estimate is None:
        return "no verdict, as not all of these trained"
    test = "no test" if estimate.p is None else f"p {estimate.p:.3f}, not corrected"
    return f"{_points(estimate)}, {test}"


def _points(estimate: ContrastEstimate) -> str:
    """Return a difference in percentage points with its interval and each seed's own."""
    by_seed = ", ".join(f"{100 * value:+.1f}" for value in estimate.seeds.values())
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:+.1f} points [{low:+.1f}, {high:+.1f}] (by seed {by_seed})"
