"""Shards of one run into the folder that the run without --shard would have made."""

from niah.merge.join import Merged, merge

__all__ = ["Merged", "merge"]
