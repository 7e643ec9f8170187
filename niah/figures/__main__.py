"""`python -m niah.figures`: the old name of `niah figures`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("figures")
