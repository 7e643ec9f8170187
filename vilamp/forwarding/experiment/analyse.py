"""`python -m vilamp.experiment.analyse`: the old name of `niah experiment_analyse`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("experiment_analyse")
