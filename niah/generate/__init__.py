"""Needles + haystacks + suite.yaml -> cases.jsonl."""

from niah.generate.design import depth_bin, grouping, length_bin
from niah.generate.pipeline import assemble, generate
from niah.generate.result import Generated, NearDuplicate, Skip, read, write

__all__ = [
    "Generated",
    "NearDuplicate",
    "Skip",
    "assemble",
    "depth_bin",
    "generate",
    "grouping",
    "length_bin",
    "read",
    "write",
]
