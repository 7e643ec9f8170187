"""A public class name stands for one thing in the whole project."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]


def public_classes():
    """Return the files that define each public class at their top level."""
    files = defaultdict(list)
    for package in ("niah", "vilamp", "baselines"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    files[node.name].append(path.relative_to(ROOT).as_posix())
    return files


def test_no_two_public_classes_share_a_name():
    duplicates = {name: files for name, files in public_classes().items() if len(files) > 1}
    assert duplicates == {}
