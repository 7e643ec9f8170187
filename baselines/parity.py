"""`python -m baselines.parity`: the old name of `niah parity`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("parity")
