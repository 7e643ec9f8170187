"""`python -m vilamp.probe`: the old name of `niah probe`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("probe")
