"""The commands of docs/, run as printed; which are not run, and why, is said by name.

A comment above a block says what becomes of it: `<!-- runs -->`, `<!-- runs slowly -->`, `<!-- runs, exit code 1 -->`,
`<!-- saved as NAME -->` for a file the commands below it read, or `<!-- does not run: REASON -->`. The blocks of a page
run in their order, in one folder.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
COMMAND = re.compile(r"(niah|python|pip|make|tensorboard|[A-Z_]+=\S+ python|\.?venv\S*) ")
MARK = re.compile(
    r"<!-- (?:(?P<runs>runs(?P<slow> slowly)?)(?:, exit code (?P<code>\d+))?"
    r"|saved as (?P<name>\S+)|does not run: (?P<why>.+)) -->"
)


@dataclass(frozen=True)
class Block:
    """A code block and the comment above it."""

    page: str
    line: int
    text: str
    mark: str  # "" where there is none

    @property
    def said(self):
        return MARK.fullmatch(self.mark)

    @property
    def is_commands(self):
        return any(COMMAND.match(line) for line in self.text.splitlines())

    @property
    def name(self):
        return f"{self.page}:{self.line}"


def blocks(page, text):
    """Return the fenced and the indented blocks of a page."""
    found, lines, number = [], text.splitlines(), 0
    while number < len(lines):
        start, body = number, []
        if lines[number].startswith("```"):
            number += 1
            while not lines[number].startswith("```"):
                body.append(lines[number])
                number += 1
        elif lines[number].startswith("    ") and (number == 0 or not lines[number - 1].strip()):
            while number < len(lines) and lines[number].startswith("    "):
                body.append(lines[number][4:])
                number += 1
        number += 1
        if body:
            before = [line for line in lines[:start] if line.strip()][-1:]
            mark = before[0] if before and before[0].startswith("<!--") else ""
            found.append(Block(page, start + 1, "\n".join(body) + "\n", mark))
    return found


ALL = [block for page in PAGES for block in blocks(page.name, page.read_text(encoding="utf-8"))]
COMMANDS = [block for block in ALL if block.is_commands]
DONE: dict[str, set[int]] = {}  # lines of a page whose blocks ran already


def parameter(block):
    slow = block.said is not None and block.said["slow"]
    return pytest.param(block, id=block.name, marks=[pytest.mark.slow] if slow else [])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return the folder of a page, whose files are those the page says to save."""

    def of(page):
        folder = tmp_path_factory.getbasetemp() / "docs" / page
        folder.mkdir(parents=True, exist_ok=True)
        for block in ALL:
            if block.page == page and block.said is not None and block.said["name"]:
                file = folder / block.said["name"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text, encoding="utf-8")
        return folder

    return of


def run(block, folder):
    """Run a block's lines in a shell that ends at the first failure; `python` is this one."""
    around = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    around["VIDEONIAH_CACHE"] = str(folder.parent / "cache")
    around["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = ["bash", "-ec", block.text]
    done = subprocess.run(command, cwd=folder, env=around, capture_output=True, text=True, timeout=600)
    assert done.returncode == int(block.said["code"] or 0), f"{block.name}:\n{block.text}{done.stdout}{done.stderr}"


@pytest.mark.parametrize("block", [parameter(block) for block in COMMANDS])
def test_commands_run_as_printed(block, place):
    if block.said is None:
        pytest.skip(f"{block.name} is not run: no comment above it says that it can be")
    if block.said["why"]:
        pytest.skip(f"{block.name} is not run: {block.said['why']}")
    folder, done = place(block.page), DONE.setdefault(block.page, set())
    for earlier in COMMANDS:  # a test that is run alone needs what the blocks above it leave
        above = earlier.page == block.page and earlier.line <= block.line
        if above and earlier.line not in done and earlier.said is not None and earlier.said["runs"]:
            run(earlier, folder)
            done.add(earlier.line)


def test_every_comment_above_a_block_is_one_that_is_understood():
    assert [block.name for block in ALL if block.mark and block.said is None] == []


def test_pages_that_are_run_leave_no_command_without_a_word():
    pages = {block.page for block in COMMANDS if block.said is not None}
    assert {"index.md", "publishing.md", "doctor_and_cache.md", "trust.md"} <= pages
    assert [block.name for block in COMMANDS if block.page in pages and block.said is None] == []


WRITES = re.compile(r"^niah (?:[^#\n]*? )?(?:-o|--output_path|benchmarks sample) ([\w./-]+)", re.MULTILINE)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout of git")
def test_what_the_commands_write_is_no_change_of_the_checkout():
    """A run notes whether files differ from the commit; trying the commands of README.md must not make it say so."""
    pages = [ROOT / "README.md", *PAGES]
    written = {name for page in pages for name in WRITES.findall(page.read_text(encoding="utf-8"))}
    written |= {"results/paper/vilamp/tensorboard"}
    assert {"out", "sample", "my-suite", "report.html"} <= written
    for name in sorted(written):
        inside = name if Path(name).suffix else f"{name}/x"
        told = subprocess.run(["git", "-C", str(ROOT), "check-ignore", "-q", inside], check=False)
        assert told.returncode == 0, f"git sees {name}: add it to .gitignore"


def test_every_link_of_a_page_exists():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_on_the_index():
    named = set(re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs" / "index.md").read_text(encoding="utf-8")))
    assert named == {page.name for page in PAGES} - {"index.md"}


SAMPLE = """\
text

<!-- runs, exit code 3 -->
```
python -m one
```

    python -m two
    python -m three

```json
{}
```
"""


def test_blocks_are_found_with_their_lines_and_comments():
    found = blocks("p.md", SAMPLE)
    assert [(block.line, block.text, block.is_commands) for block in found] == [
        (4, "python -m one\n", True),
        (8, "python -m two\npython -m three\n", True),
        (11, "{}\n", False),
    ]
    assert found[0].said["code"] == "3" and found[1].said is None
