"""What is done around runs: look after the machine and the cache, merge shards."""
