"""How many needles the default suite needs: what two models must differ by to be told apart. `python -m tests.simulated_power`.

Answers are drawn for two models that were asked different needles. Each needle has a difficulty of its own, drawn from a beta
distribution, so that the answers about it are correlated as much as those of a run whose records are given.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.stats import ttest_ind

from niah.analysis.load import read_run
from niah.analysis.stats.components import variance_components
from niah.analysis.table import observations, score_cases

DESIGNS = ((32, 25), (120, 10), (160, 5), (240, 5))  # needles, full cases of each
DRAWS = 4000
ACCURACY = 0.8
WANTED = 0.8  # power


def main() -> None:
    """Print the smallest difference of each design that is found with 80 % power."""
    parser = argparse.ArgumentParser(description=__doc__.partition("`")[0])
    parser.add_argument("run", nargs="?", type=Path, default=Path("results/paper/vilamp"))
    alike = correlation(parser.parse_args().run)
    sys.stdout.write(f"answers about one needle correlate by {alike:.2f}; one model is right in {ACCURACY:.0%}\n")
    for needles, cases in DESIGNS:
        found = next(points for points in range(1, 60) if power(needles, cases, alike, points / 100) >= WANTED)
        sys.stdout.write(f"{needles} needles, {cases} cases of each: {found} points\n")


def correlation(folder: Path) -> float:
    """Return the share of the variance of single answers that lies between the needles of a question type.

    Raises ValueError for a run whose needles lie in one haystack each.
    """
    run = read_run(folder)
    shares = []
    answered = [one for one in score_cases(run, "full") if one.answered]
    for kind in sorted({one.case.type for one in answered}):
        parts = variance_components(observations([one for one in answered if one.case.type == kind]))
        if parts is None:
            raise ValueError(f"{folder}: needles and haystacks are not crossed")
        shares.append(parts.needle / (parts.needle + parts.haystack + parts.residual))
    return float(np.mean(shares))


def power(needles: int, cases: int, alike: float, difference: float) -> float:
    """Return how often a t-test over needle means finds a difference at 5 %."""
    rng = np.random.default_rng([needles, cases, round(1000 * difference)])
    ours, theirs = (_means(needles, cases, alike, share, rng) for share in (ACCURACY, ACCURACY - difference))
    return float((ttest_ind(ours, theirs, axis=1).pvalue < 0.05).mean())


def _means(needles: int, cases: int, alike: float, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return the accuracy of every needle in every draw, (draws, needles)."""
    scale = (1 - alike) / alike
    difficulty = rng.beta(share * scale, (1 - share) * scale, (DRAWS, needles))
    return rng.binomial(cases, difficulty) / cases


if __name__ == "__main__":
    main()
