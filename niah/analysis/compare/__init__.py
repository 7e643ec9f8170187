"""Compare models on the same cases: which is better, by how much, and what difference was detectable."""
