"""The reader probe: a small model that shows whether the answer is still in the compressed tokens of a needle."""
