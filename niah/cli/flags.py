"""Flags that several commands have: one spelling, one help text."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any


def add_runs(parser: argparse.ArgumentParser, help_text: str = "a folder that niah run wrote") -> None:
    """Add one or more run folders."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=help_text)


def add_output(parser: argparse.ArgumentParser, help_text: str, metavar: str = "FOLDER", **settings: Any) -> None:
    """Add where the command writes: --output, or --output_path as lm-eval calls it."""
    flags = ("-o", "--output", "--output_path")
    parser.add_argument(*flags, dest="output", type=Path, metavar=metavar, help=help_text, **settings)


def add_suite(parser: Any, help_text: str, **settings: Any) -> None:
    """Add the suite."""
    parser.add_argument("--suite", metavar="SUITE", help=help_text, **settings)


def add_config(parser: argparse.ArgumentParser, help_text: str) -> None:
    """Add the YAML file without which a command has nothing to do."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help=help_text)


def add_no_figures(parser: Any, **settings: Any) -> None:
    """Add the flag that leaves figures out."""
    parser.add_argument("--no_figures", dest="figures", action="store_false", help="draw no figures", **settings)


def comma_separated(kind: type) -> Callable[[str], tuple]:
    """Return a reader of comma-separated values."""

    def read(text: str) -> tuple:
        return tuple(kind(part) for part in text.replace(" ", "").split(",") if part)

    read.__name__ = f"comma-separated {kind.__name__} list"  # argparse reports "invalid ... value"
    return read
