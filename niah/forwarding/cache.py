"""`python -m niah.cache`: the old name of `niah cache`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("cache")
