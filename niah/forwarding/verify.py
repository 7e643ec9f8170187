"""`python -m niah.verify`: the old name of `niah verify`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("verify")
