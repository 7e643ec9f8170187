"""`python -m vilamp.experiment`: the old name of `niah experiment`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("experiment")
