"""`python -m niah.publish`: the old name of `niah publish`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("publish")
