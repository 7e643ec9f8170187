"""Statistics as pure functions: intervals of proportions, paired comparisons, slopes and power.

Nothing here knows cases or records. A case enters as an `Observation`: the clusters it belongs to, and numbers.
"""
