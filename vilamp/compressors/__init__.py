"""Compressors by name, each with a budget of tokens a frame."""
