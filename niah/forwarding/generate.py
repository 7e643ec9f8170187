"""`python -m niah.generate`: the old name of `niah generate` and `niah render`, for one release."""

import sys

from niah.cli.forward import forward

if __name__ == "__main__":
    if sys.argv[1:2] == ["render"]:
        del sys.argv[1]
        forward("render")
    forward("generate")
