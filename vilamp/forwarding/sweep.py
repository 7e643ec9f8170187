"""`python -m vilamp.sweep`: the old name of `niah sweep`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("sweep")
