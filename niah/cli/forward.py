"""The old names of commands: `python -m niah.table` runs `niah table` and says so, for one release."""

from __future__ import annotations

import sys
from typing import NoReturn

from niah.cli.tree import main
from niah.terminal import to_stderr


def forward(name: str) -> NoReturn:
    """Run `niah NAME` with the words of this command line, and print on stderr what to type from now on."""
    to_stderr(f"this name will be removed; type: niah {name}\n")
    sys.exit(main([*name.split(), *sys.argv[1:]]))
