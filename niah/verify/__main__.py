"""python -m niah.verify SUITE|RUN: are the videos still there, and the same?"""

import sys

from niah.verify.command import main

if __name__ == "__main__":
    sys.exit(main())
