"""How sure a number is: shares, differences between models, slopes, and what a suite can detect.

Answers about one needle are alike, so nothing here takes cases for independent: needle source
videos are drawn with replacement, whole haystacks where there are enough of them.
"""

from niah.stats.paired import Difference, Pair, difference, gap, holm
from niah.stats.power import smallest_by_mcnemar, smallest_difference
from niah.stats.resample import HAYSTACKS, Estimate, Observation, resample
from niah.stats.shares import clustered, retention, wilson
from niah.stats.trend import slope, slope_difference

__all__ = [
    "HAYSTACKS",
    "Difference",
    "Estimate",
    "Observation",
    "Pair",
    "clustered",
    "difference",
    "gap",
    "holm",
    "resample",
    "retention",
    "slope",
    "slope_difference",
    "smallest_by_mcnemar",
    "smallest_difference",
    "wilson",
]
