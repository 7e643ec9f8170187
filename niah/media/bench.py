"""`python -m niah.media.bench`: the old name of `niah bench_media`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("bench_media")
