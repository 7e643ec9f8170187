"""Shards of one run into the folder that the run without --shard would have made."""
