"""The old name of a command, kept for one release."""

import sys

from vilamp.train.probe.client import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
