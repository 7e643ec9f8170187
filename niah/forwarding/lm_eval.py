"""`python -m niah.lm_eval`: the old name of `niah lm_eval`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("lm_eval")
