"""`python -m niah.doctor`: the old name of `niah doctor`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("doctor")
