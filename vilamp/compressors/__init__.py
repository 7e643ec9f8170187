"""Compressors by name, each with a budget of tokens a frame: what the equal-budget experiment compares."""

from vilamp.compressors.registry import NAMES, build

__all__ = ["NAMES", "build"]
