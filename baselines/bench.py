"""`python -m baselines.bench`: the old name of `niah bench`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("bench")
