"""What a run cost: seconds by stage, what reuse by key saved, and memory over length."""

from niah.cost.compare import Comparison, compare
from niah.cost.memory import Line, memory_line
from niah.cost.stages import breakdown, costs

__all__ = ["Comparison", "Line", "breakdown", "compare", "costs", "memory_line"]
