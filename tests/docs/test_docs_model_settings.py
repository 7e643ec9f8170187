"""docs/model_settings.md: its commands use settings that the adapters take, and every row has its source and command."""

import ast
import re
import shlex
from pathlib import Path

from niah.run.registry import parse_model_args

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "model_settings.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^niah run .+$", PAGE, re.MULTILINE)
ROWS = re.findall(r"^\| (\d+) \| ([^|]+) \|", PAGE, re.MULTILINE)  # number, source
COMMITS = re.findall(r"^\| ([\w.-]+/[\w.-]+)[^|]* \| [0-9a-f]{40} \|$", PAGE, re.MULTILINE)


def members(file, name):
    """Return a function's parameters or a dataclass's fields by their source: importing the adapters imports torch."""
    body = ast.parse((ROOT / "baselines" / file).read_text(encoding="utf-8")).body
    (found,) = [node for node in body if getattr(node, "name", None) == name]
    if isinstance(found, ast.FunctionDef):
        return {argument.arg for argument in found.args.args}
    return {node.target.id for node in found.body if isinstance(node, ast.AnnAssign)}


def test_commands_have_only_settings_that_the_adapters_take():
    takes = {
        "huggingface": members("huggingface/adapter.py", "load"),
        "openai": members("openai.py", "load") | members("openai.py", "Asking"),
    }
    for command in COMMANDS:
        words = shlex.split(command, comments=True)
        model, given = words[words.index("--model") + 1], words[words.index("--model_args") + 1]
        assert set(parse_model_args(given)) <= takes[model], command


def test_every_row_has_a_command_and_a_repository_with_its_commit():
    commented = re.findall(r"^(?:niah|python) .+  # (\d+)", PAGE, re.MULTILINE)
    assert [number for number, _ in ROWS] == commented == [str(number) for number in range(1, len(ROWS) + 1)]
    for _, source in ROWS:
        named = re.findall(r"([\w.-]+/[\w.-]+)(?:, branch [\w-]+)?: `", source)
        assert named or re.search(r"as \d+", source), source
        assert set(named) <= set(COMMITS)
