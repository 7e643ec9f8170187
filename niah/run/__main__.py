"""`python -m niah.run`, for scripts that use it: the same as `niah run`."""

import sys

from niah.cli.tree import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
