"""Every command teaches: its --help shows how it is called, its defaults and its exit codes."""

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from niah.cli import tree

ROOT = Path(__file__).resolve().parents[3]


def parser(name):
    return tree.parser_of(name, tree.load(name))


@pytest.mark.parametrize("name", tree.names())
def test_help_shows_an_example_and_exit_codes(name):
    told = parser(name).format_help()
    lines = [line.strip() for line in told.splitlines() if not line.startswith("usage:")]
    assert any(line.startswith(f"niah {name} ") or line == f"niah {name}" for line in lines)
    assert "exit codes:" in told


@pytest.mark.parametrize("name", tree.names())
def test_help_names_the_default_of_every_flag_that_takes_a_value(name):
    made = parser(name)
    formatter = made._get_formatter()
    for action in made._actions:
        optional = action.option_strings and action.nargs != 0 and not action.required
        if optional and action.help is not argparse.SUPPRESS:
            assert "default" in formatter._expand_help(action), action.option_strings


@pytest.mark.parametrize("name", tree.names())
def test_long_flags_are_spelled_with_underscores_and_never_abbreviated(name):
    made = parser(name)
    assert not made.allow_abbrev
    assert [flag for action in made._actions for flag in action.option_strings if "-" in flag.lstrip("-")] == []


def test_the_list_of_commands_has_a_line_for_each(capsys):
    assert tree.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in tree.names():
        (line,) = [line for line in lines if re.match(rf"  {name} ", line)]
        assert len(line.split()) > 3, name  # a command of a package too, which is not imported for it


def test_the_list_imports_no_command():
    code = "import sys; from niah.cli import tree; tree.main([]); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def examples(name):
    """Return the words of each example in a command's --help."""
    lines = [line.strip() for line in parser(name).epilog.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True) for line in lines if re.match(r"(\w+=\S+ )*niah \w", line)]


@pytest.mark.parametrize("name", tree.names())
def test_every_example_can_be_typed(name):
    """Each flag exists, and each value is of its kind."""
    found = examples(name)
    assert found
    for words in found:
        words = words[words.index("niah") + 1 :]
        other, rest = tree._split(words)
        command = tree.load(other)
        if not command.passes_on:
            tree.parser_of(other, command).parse_args([tree._underscored(word) for word in rest])


@pytest.mark.parametrize("name", tree.names())
def test_no_sentence_of_help_sends_the_reader_to_the_source(name):
    told = parser(name).format_help()
    assert not re.findall(r"[\w/]+\.py\b(?! of your)", told.replace("mymodule.py", "").replace("mine.py", "")), name


@pytest.mark.parametrize("name", tree.names())
def test_every_flag_and_word_says_what_it_is(name):
    for action in parser(name)._actions:
        assert action.help and action.help.strip(), action.dest
