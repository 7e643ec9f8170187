"""Hold the cases and videos of a suite or a run against the hashes that were kept of them."""

from niah.verify.command import main
from niah.verify.find import Finding, check

__all__ = ["Finding", "check", "main"]
