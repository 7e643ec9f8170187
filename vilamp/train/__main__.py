"""`python -m vilamp.train`: the old name of `niah train`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("train")
