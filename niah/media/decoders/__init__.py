"""Decoders: all take the same calls and, by test, give the same frames."""
