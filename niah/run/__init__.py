"""Ask a model every case of a suite: cases.jsonl -> records.jsonl."""

from niah.run.command import main, run
from niah.run.config import RunConfig

__all__ = ["RunConfig", "main", "run"]
