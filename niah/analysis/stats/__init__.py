"""Statistics as pure functions: intervals of proportions, paired comparisons, slopes and power.

Nothing here knows cases or records, which enter as `Observations`: the clusters that each belongs to, and numbers.
"""
