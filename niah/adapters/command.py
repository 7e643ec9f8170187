"""What commands that need no video decoder share: how they end.

`niah.run.command.guarded` says the same of commands that do, and would import their decoders.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from niah.disk import in_words
from niah.types import UserError


def told(command: Callable[[], int]) -> int:
    """Return the exit code of a command; what ended it is said on stderr, and the code is then 2, or 130 for Ctrl-C."""
    try:
        return command()
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"error: {in_words(error)}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
