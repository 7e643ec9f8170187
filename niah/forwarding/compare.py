"""`python -m niah.compare`: the old name of `niah compare`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("compare")
