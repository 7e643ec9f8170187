"""`python -m niah.paper`: the old name of `niah paper`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("paper")
