"""niah run --model vilamp: the default suite into runs/default-vilamp."""

import sys

from niah.run.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
