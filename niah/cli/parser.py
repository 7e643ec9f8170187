"""The command line as every command of the harness has it: examples below the flags, no flag by half its name."""

from __future__ import annotations

import argparse


def command_parser(name: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Return the parser of `python -m NAME`; `examples` stand below the flags as they are written."""
    return argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
