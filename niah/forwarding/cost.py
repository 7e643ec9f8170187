"""`python -m niah.cost`: the old name of `niah cost`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("cost")
