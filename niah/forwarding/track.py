"""`python -m niah.track`: the old name of `niah track`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("track")
