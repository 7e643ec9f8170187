"""Validity checks: what could make a figure say something that is not so. `runs.check_runs` runs them all."""
