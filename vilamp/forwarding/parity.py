"""The old name of a command, kept for one release."""

import sys

from vilamp.release.parity.command import main

if __name__ == "__main__":
    sys.exit(main())
