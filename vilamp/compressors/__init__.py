"""Compressors by name, each with a budget of tokens a frame: what the equal-budget experiment compares."""
