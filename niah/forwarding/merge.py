"""`python -m niah.merge`: the old name of `niah merge`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("merge")
