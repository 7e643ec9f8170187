"""The old name of a command, kept for one release."""

import sys

from niah.cli.attention import main

if __name__ == "__main__":
    sys.exit(main())
