"""The verdict in words that the numbers carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vilamp.train.experiment.config import Experiment, Job
from vilamp.train.experiment.contrasts import Contrast, Estimate, Gate

if TYPE_CHECKING:
    from vilamp.train.experiment.analyse import ProbeRow


def verdict(
    experiment: Experiment,
    jobs: Sequence[Job],
    all_gates: Sequence[Gate],
    main: Sequence[Contrast],
    more: Mapping[str, Estimate | None],
    probes: Sequence[ProbeRow],
    trainings: Sequence[Mapping],
) -> str:
    """Return what was done, what did not train or cost too much, the primary contrast and the secondary ones.

    `trainings` are the lines of trainings.csv.
    """
    wanted, length = experiment.jobs(), experiment.course.longest
    budget = experiment.budgets[0].tokens
    lines = [
        f"# {experiment.name}: what the records say",
        "",
        f"{len(jobs)} of {len(wanted)} trainings are done and asked. Hypothesis and rules: {experiment.rules}.",
        "",
        f"## {experiment.contrast}: {budget:g} tokens a frame, {length} frames, all types",
        "",
        *[_contrast(one) for one in main],
        "",
        "## Secondary",
        "",
        *[f"- {name}: {_further(spread)}" for name, spread in more.items()],
        "",
        "## What is left to read, whoever could read it",
        "",
        *([f"- {row.scheme}: probe {row.probe:.1%}, model {row.model:.1%} of {row.n}" for row in probes
           if (row.condition, row.type) == ("full", "all")] or ["- no probe asked yet"]),
        "",
        "The probe is told where the needle lies; one seed, the primary budget and length.",
        "",
        "## Trainings that did not train (needle_only not above chance), and are in no contrast",
        "",
        *([f"- {g.scheme}, {g.budget:g} tokens, seed {g.seed}: {g.right} of {g.n}" for g in all_gates if not g.trained]
          or ["- none"]),
        "",
        f"## Trainings that cost more than {experiment.minutes:g} minutes of one core",
        "",
        *([f"- {one['scheme']}, {one['budget']:g} tokens, seed {one['seed']}: {one['minutes']:.1f}"
           for one in trainings if not one["within_limit"]] or ["- none"]),
        "",
        "Intervals redraw seeds, haystacks and the needles in them; p is from a t-test whose variance is that between "
        f"seeds plus that between haystacks. {len(experiment.seeds)} seeds are few: no finding is no evidence that "
        "schemes are equal. Lengths beyond the longest trained are extrapolation and in no contrast.",
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def _contrast(one: Contrast) -> str:
    """Return one contrast as a sentence."""
    name = f"- `{one.first}` less `{one.second}`"
    if one.spread is None:
        return f"{name}: no verdict, fewer than two pairs of seeds trained"
    if one.corrected is None:
        return f"{name}: {_points(one.spread)}, no verdict, as nothing varies between seeds and haystacks"
    signs = {(value > 0) - (value < 0) for value in one.spread.seeds.values()}
    agree = "all seeds on one side" if signs in ({1}, {-1}) else "seeds disagree in sign"
    word = ("ABOVE" if one.spread.value > 0 else "BELOW") if one.found else "no difference found"
    return f"{name}: {_points(one.spread)}, Holm p {one.corrected:.3f}, {agree}: {word}"


def _further(spread: Estimate | None) -> str:
    """Return a secondary contrast: its interval alone, of a few seeds, is too narrow to conclude from."""
    if spread is None:
        return "no verdict, as not all of these trained"
    return f"{_points(spread)}, {'no test' if spread.p is None else f'p {spread.p:.3f}, not corrected'}"


def _points(spread: Estimate) -> str:
    """Return a difference in points with its interval and every seed's own."""
    own = ", ".join(f"{100 * value:+.1f}" for value in spread.seeds.values())
    return f"{100 * spread.value:+.1f} points [{100 * spread.low:+.1f}, {100 * spread.high:+.1f}] (by seed {own})"
