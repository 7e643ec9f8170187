"""Commands as functions of their words: `table(["runs/x"])` is `niah table runs/x` in this process."""

from functools import partial

from niah.cli import run as _run
from niah.cli import tree


def run_config(words):
    """Return the settings that `niah run` reads from its words."""
    return _run.config_of(tree.parser_of("run", _run.COMMAND).parse_args(words))


def _niah(name, words=()):
    """Run one command, and return its exit code."""
    return tree.main([*name.split(), *words])


def __getattr__(name):
    """Return the command of that name."""
    if name not in tree.names():
        raise AttributeError(f"there is no command {name}")
    return partial(_niah, name)
