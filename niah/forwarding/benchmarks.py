"""`python -m niah.benchmarks`: the old name of `niah benchmarks`, for one release."""

from niah.cli.forward import forward

if __name__ == "__main__":
    forward("benchmarks")
