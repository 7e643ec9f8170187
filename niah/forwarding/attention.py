"""`python -m niah.attention`: the old name of `niah attention`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("attention")
