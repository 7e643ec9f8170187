"""Runs of several models on the same cases: which is better, by how much, and what could not have been seen."""

from niah.compare.match import Match, match
from niah.compare.verdict import page

__all__ = ["Match", "match", "page"]
