"""records -> numbers: accuracy with intervals, checks, comparisons, cost."""
