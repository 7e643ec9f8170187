"""The old name of a command, kept for one release."""

import sys

from niah.cli.lm_eval import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
