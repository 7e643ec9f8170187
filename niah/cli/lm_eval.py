"""`niah lm_eval`: lm-eval's own command line, with this project's models and tasks in it."""

import sys

from niah.integrations.lm_eval.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
