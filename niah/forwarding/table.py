"""`python -m niah.table`: the old name of `niah table`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("table")
