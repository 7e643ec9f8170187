"""Validity checks: what a reader of these runs must know before believing a number."""
