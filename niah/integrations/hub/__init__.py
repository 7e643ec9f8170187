"""Publish a suite as a `datasets` folder and a run as lm-eval writes one; verify files against kept hashes."""
