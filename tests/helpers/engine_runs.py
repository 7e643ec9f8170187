"""The small suite run into folders by one command, whoever answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.helpers.commands import run as main
from tests.helpers.small_suite import make_suite


def runner(folder: Path) -> Callable[..., int]:
    """Make the small suite in `folder`; return a function that runs it into another and returns the exit code."""
    suite = make_suite(folder)

    def begin(out: Path, *flags: str, model: str = "slow", args: str = "seconds=0.05") -> int:
        target = ["--model", f"tests.helpers.fake_adapters:{model}", "--model_args", args]
        return main(["--suite", str(suite), *target, "--output_path", str(out), "--no_figures", *flags])

    return begin


def rows_of(out: Path) -> list[dict]:
    """Return the records of a run as they stand in its file."""
    return [json.loads(line) for line in (out / "records.jsonl").read_text(encoding="utf-8").split("\n") if line]


def without_measured(out: Path) -> list[dict]:
    """Return what must be equal in two runs."""
    return [{key: value for key, value in row.items() if key != "measured"} for row in rows_of(out)]
