"""Ask whether the tests of the modules that compute numbers would notice a slip: 300 random mutants of their source.

taskset -c 0 python -m tests.mutation --count 300 --seed 16 > mutants.txt

Not part of CI: it takes 10 to 30 minutes. All tests are collected and run once; then each mutant is tried in a forked
process, which imports the changed module, puts what it defines in the place of the original everywhere, and runs the
tests of that module alone, quick ones first. Tests that take longer than --slowest, simulations mostly, are left out. A
mutant that no test notices survives: either a test is missing, or the change makes no difference.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
STATS, TESTS = "niah/analysis/stats", "tests/niah/analysis"
MODULES = {
    "niah/scoring/letters.py": ["tests/niah/test_scoring.py", "tests/niah/test_wild_replies.py"],
    "niah/option_scores.py": ["tests/niah/test_option_scores.py", "tests/niah/analysis/test_kinds.py"],
    f"{STATS}/components.py": [f"{TESTS}/test_regression.py", f"{TESTS}/test_samples.py"],
    f"{STATS}/detectable.py": [f"{TESTS}/test_stats.py"],
    f"{STATS}/korn_graubard.py": [f"{TESTS}/test_korn_graubard.py", f"{TESTS}/test_stats.py"],
    f"{STATS}/paired.py": [f"{TESTS}/test_stats.py"],
    f"{STATS}/proportions.py": [f"{TESTS}/test_stats.py"],
    f"{STATS}/regression.py": [f"{TESTS}/test_regression.py", f"{TESTS}/test_stats.py"],
    f"{STATS}/trend.py": [f"{TESTS}/test_regression.py", f"{TESTS}/test_stats.py"],
    "niah/suite/positions.py": ["tests/niah/suite/test_positions.py"],
    "niah/suite/blocks.py": ["tests/niah/suite/test_blocks.py"],
    "vilamp/keyframes.py": ["tests/vilamp/test_keyframes.py", "tests/vilamp/release/test_selection.py"],
    "vilamp/merge.py": ["tests/vilamp/test_merge.py", "tests/vilamp/release/test_selection.py"],
}
LEFT_OUT = (".git", ".venv", "results", "docs", "reference", "__pycache__", "*.safetensors", "*.png", "runs")
SECONDS = 300  # for one mutant: one that loops for ever is noticed, too
OURS = ("niah", "vilamp", "baselines", "tests")


class TryMutants:
    """A pytest plugin that runs the tests once, and then those of each mutant in a process of its own."""

    def __init__(self, folder: Path, drawn: Sequence[tuple[str, Mutant]], slowest: float) -> None:
        self.folder, self.drawn, self.slowest = folder, drawn, slowest
        self.seconds: dict[str, float] = {}  # of the processor, by test

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run everything unchanged, then every mutant; print what survives."""
        for item in session.items:
            began = time.process_time()
            if _fails(session, [item]):
                raise pytest.UsageError(f"{item.nodeid} fails before anything is changed")
            self.seconds[item.nodeid] = time.process_time() - began
        caught = sum(self._try_module(session, module) for module in MODULES)
        _say(f"{caught} of {len(self.drawn)} mutants caught: {caught / max(len(self.drawn), 1):.1%}")
        return True

    def _try_module(self, session: pytest.Session, module: str) -> int:
        """Try the mutants of one module, print its survivors, and return how many were caught."""
        drawn = [mutant for name, mutant in self.drawn if name == module]
        if not drawn:
            return 0
        own = [item for item in session.items if item.nodeid.split("::")[0] in MODULES[module]]
        quick = sorted(own, key=lambda item: self.seconds[item.nodeid])
        quick = [item for item in quick if self.seconds[item.nodeid] <= self.slowest]
        path, began, survivors = self.folder / module, time.monotonic(), []
        source = path.read_text(encoding="utf-8")
        if _ends_badly(session, module, quick):
            raise pytest.UsageError(f"{module} fails when it is imported anew, before anything is changed")
        for mutant in drawn:
            path.write_text(mutant.source, encoding="utf-8")
            if not _ends_badly(session, module, quick):
                survivors.append(mutant)
        path.write_text(source, encoding="utf-8")
        tests = f"{len(quick)} of {len(own)} tests, {time.monotonic() - began:.0f} s"
        _say(f"{module}: {len(drawn) - len(survivors)} of {len(drawn)} caught ({tests})")
        for mutant in survivors:
            _say(f"  line {mutant.line}: {mutant.change}")
        return len(drawn) - len(survivors)


def main() -> None:
    """Try the mutants that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="how many mutants, drawn at random (default: 300)")
    parser.add_argument("--seed", type=int, default=16)
    only_help = "of the mutants drawn, try those of modules whose path contains one of these"
    parser.add_argument("--only", nargs="+", default=[""], metavar="PART", help=only_help)
    parser.add_argument("--slowest", type=float, default=1.0, metavar="SECONDS", help="leave slower tests out")
    options = parser.parse_args()
    chosen = [module for module in MODULES if any(part in module for part in options.only)]
    every = [(module, one) for module in MODULES for one in mutants((ROOT / module).read_text(encoding="utf-8"))]
    drawn = random.Random(options.seed).sample(every, min(options.count, len(every)))
    drawn = [(module, mutant) for module, mutant in drawn if module in chosen]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(shutil.copytree(ROOT, Path(folder) / "project", ignore=shutil.ignore_patterns(*LEFT_OUT)))
        os.chdir(copy)
        sys.path[:] = [str(copy), *(place for place in sys.path if Path(place or ".").resolve() not in (ROOT, copy))]
        sys.dont_write_bytecode = True
        for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
            del sys.modules[name]  # of this script; the tests import those of the copy
        tests = list(dict.fromkeys(test for module in chosen for test in MODULES[module]))
        flags = ["-q", "--no-summary", "-p", "no:cacheprovider", "-p", "no:terminalreporter", "--assert=plain"]
        raise SystemExit(pytest.main([*flags, *tests], plugins=[TryMutants(copy, drawn, options.slowest)]))


def _ends_badly(session: pytest.Session, module: str, items: Sequence[pytest.Item]) -> bool:
    """Return True if a test of a changed module fails in a forked process, or takes too long."""
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):  # whatever a mutant raises: the process must end here
            _replace(module.removesuffix(".py").replace("/", "."))
            code = int(_fails(session, items))
        os._exit(code)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) != 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def _replace(name: str) -> None:
    """Import a module anew, and put what it defines in the place of the same in every other module of the project."""
    old = sys.modules.pop(name)
    importlib.invalidate_caches()
    new = importlib.import_module(name)
    for other in [module for key, module in sys.modules.items() if key.split(".")[0] in OURS]:
        for key, value in list(vars(other).items()):
            if key in vars(old) and value is vars(old)[key] and key in vars(new):
                setattr(other, key, vars(new)[key])


def _fails(session: pytest.Session, items: Sequence[pytest.Item]) -> bool:
    """Run some tests up to the first that fails; return True if there is one."""
    before = session.testsfailed
    for item in items:
        following: Any = None  # every fixture ends with its test
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed > before:
            return True
    return False


def _say(text: str) -> None:
    sys.__stdout__.write(text + "\n")  # pyright: ignore[reportOptionalMemberAccess]  # there is one
    sys.__stdout__.flush()  # pyright: ignore[reportOptionalMemberAccess]


if __name__ == "__main__":
    main()
