"""`python -m niah COMMAND`: the same as the console script `niah COMMAND`."""

import sys

from niah.cli.tree import main

if __name__ == "__main__":
    sys.exit(main())
