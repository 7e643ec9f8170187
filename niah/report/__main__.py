"""`python -m niah.report`: the old name of `niah report`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("report")
