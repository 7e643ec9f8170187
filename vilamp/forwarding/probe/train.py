"""`python -m vilamp.probe.train`: the old name of `niah probe_train`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("probe_train")
