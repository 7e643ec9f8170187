"""What the harness itself costs with many cases: `python -m tests.scale [--needles 3000]`; 25 cases for each needle.

Prints CPU seconds and peak memory of each step, in a process of its own, and the sizes of what it writes. Compare two
commits on one machine: only ratios mean anything.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import numpy as np

from niah.media.writer import write_mp4
from niah.suite.folder import GeneratedSuite, read_suite, write_suite
from niah.terminal import to_stdout
from niah.types import Case, Placement, Reply, Source, Span
from tests.helpers.fake_adapters import Says
from tests.helpers.fake_runs import make_record, write_run
from tests.helpers.small_suite import make_suite

LENGTHS, DEPTHS = (2000, 4000, 6000, 8000, 10000), (0.1, 0.3, 0.5, 0.9)
TYPES = ("action", "colour", "count", "scene")
HAYSTACKS = 40  # sources, each as long as the longest case
FRAMES = 4


def main() -> None:
    """Measure every step, or run one of them here (`--step`)."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--needles", type=int, default=3000)
    parser.add_argument("--only", choices=STEPS, nargs="*", default=[*STEPS], metavar="STEP", help=", ".join(STEPS))
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where a suite and a run are, or are written and stay")
    options = parser.parse_args()
    if options.step is not None:
        STEPS[options.step](options.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        os.environ["VIDEONIAH_CACHE"] = str(folder / "cache")
        if not (folder / "run").is_dir():
            _write(folder, options.needles)
        count = (folder / "suite" / "cases.jsonl").read_bytes().count(b"\n")
        to_stdout(f"{count:,} cases\n")
        for step in options.only:
            _measure(step, folder)


def _measure(step: str, folder: Path) -> None:
    """Run a step in a process of its own, and print what it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-m", "tests.scale", "--step", step, "--folder", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    said = done.stdout.strip().splitlines()[-1] if done.returncode == 0 else done.stderr.strip()[-300:]
    to_stdout(f"{step:16} {seconds:7.1f} CPU s  {said}" + "\n")


def _write(folder: Path, needles: int) -> None:
    """Write a generated suite and a run of its cases."""
    made = read_suite(make_suite(folder / "small"))
    clip, hay = made.sources["n1"], _long(folder / "long.mp4")
    sources = {f"n{n}": _source(clip, f"n{n}", FRAMES) for n in range(needles)}
    sources |= {f"h{n}": _source(hay, f"h{n}", max(LENGTHS)) for n in range(HAYSTACKS)}
    cases = [case for n in range(needles) for case in _cases(n)]
    suite = dataclasses.replace(made.suite, lengths=LENGTHS, depths=DEPTHS)
    write_suite(GeneratedSuite(suite, tuple(cases), sources), folder / "suite")
    letters = "ABCD"
    records = [make_record(case, letters[number % 4], frames_kept=tuple(range(0, case.length, 60)))
               for number, case in enumerate(cases)]  # fmt: skip
    write_run(folder / "run", cases, records, suite=(folder / "suite" / "suite.yaml").read_text())


def _long(path: Path) -> Source:
    """Write a video of the longest case's length."""
    write_mp4(path, (np.full((16, 16, 3), number % 251, np.uint8) for number in range(max(LENGTHS))), Fraction(1))
    digest = sha256(path.read_bytes()).hexdigest()
    return Source("h", "h", str(path), digest, max(LENGTHS), float(max(LENGTHS)))


def _source(source: Source, name: str, frames: int) -> Source:
    return dataclasses.replace(source, name=name, identity=f"id-{name}", frames=frames, seconds=float(frames))


def _cases(n: int) -> list[Case]:
    """Return the 25 cases of a needle: 20 with a haystack, and the controls."""
    name, haystack = f"n{n}", f"h{n % HAYSTACKS}"
    hidden = [
        _case(n, "full", length, int(depth * (length - FRAMES)), haystack) for length in LENGTHS for depth in DEPTHS
    ]
    alone = _base(n, "needle_only", FRAMES, "", (Placement(name, 0, FRAMES),), (Span(name, 0, FRAMES),))
    without = [_base(n, "no_needle", length, haystack, (), (Span(haystack, 0, length),)) for length in LENGTHS[:3]]
    return [*hidden, alone, _base(n, "blind", 0, "", (), ()), *without]


def _case(n: int, condition: str, length: int, start: int, haystack: str) -> Case:
    name, rest = f"n{n}", length - FRAMES
    spans = [Span(name, 0, FRAMES)]
    spans = (
        ([Span(haystack, 0, start)] if start else []) + spans + ([Span(haystack, start, rest)] if start < rest else [])
    )
    return _base(n, condition, length, haystack, (Placement(name, start, start + FRAMES),), tuple(spans), start)


def _base(n: int, condition: str, length: int, haystack: str, needles: tuple, spans: tuple, start: int = 0) -> Case:
    question = f"In the clip of number {n}, what does the person in the red coat do after the door has opened?"
    options = tuple(f"does thing {n % 7} {letter}" for letter in "abcd")
    return Case(
        f"n{n}.{condition}.{length}.{start}", "scale", 1, condition, f"n{n}", f"id-n{n}", haystack, length, needles, spans,
        1.0, question, options, "ABCD"[n % 4], TYPES[n % 4],
    )  # fmt: skip


def _peak() -> str:
    status = Path("/proc/self/status").read_text()  # `ru_maxrss` begins at what the parent held
    return f"{int(status.partition('VmHWM:')[2].split()[0]) / 1024:,.0f} MiB"


def _before(folder: Path) -> None:
    """Everything that `niah run` does before its first case."""
    from niah.run.config import RunConfig
    from niah.run.folder import open_run
    from niah.run.plan import make_plan

    config = RunConfig(model="chance", suite=str(folder / "suite"), output_path=str(folder / "out"))
    plan = make_plan(config)
    (folder / "out").mkdir(exist_ok=True)
    open_run(folder / "out", config, plan)
    to_stdout(_peak() + "\n")


def instantly() -> Says:
    """Return an adapter that takes no time: what remains is the harness."""
    return Says(lambda video, question: Reply("A"))


def _chance(folder: Path) -> None:
    """Ask `chance`, and an adapter that takes no time, a thousand cases in the worker's own code."""
    import time

    from niah.run.messages import WorkerConfig, case_request
    from niah.run.worker import AdapterServer

    made = read_suite(folder / "suite")
    asked = [case for case in made.cases if case.haystack in ("h0", "h1", "h2")][:1000]
    rates = []
    for target in ("baselines.chance:load", "tests.scale:instantly"):
        server = AdapterServer(WorkerConfig(target, {}, made.sources, made.suite.sampling, "pyav", ""))
        began = time.process_time()
        for case in asked:
            server.answer(case_request(case))
        rates.append(f"{len(asked) / (time.process_time() - began):,.0f}")
    to_stdout(f"{rates[0]} cases a CPU second ({rates[1]} of a model that takes no time), {_peak()}" + "\n")


def _run(folder: Path) -> None:
    """Ask `chance` every case as a user would; the CPU seconds are those of runner and worker together."""
    import time

    began, out = time.monotonic(), folder / "asked"
    words = ["run", "--suite", str(folder / "suite"), "--model", "chance", "--no_figures", "--fresh", "-o", str(out)]
    _command(*words)
    count = (out / "records.jsonl").read_bytes().count(b"\n")
    to_stdout(f"{count / (time.monotonic() - began):,.0f} cases a second, {_peak()}" + "\n")


def _interrupt(folder: Path) -> None:
    """Give the last thousand cases of `run` again, and press Ctrl-C after a hundred."""
    import signal
    import time

    path = folder / "asked" / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1000]))
    ctrl_c = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from niah.cli import tree; "
    words = ["run", "--suite", str(folder / "suite"), "--model", "chance", "-o", str(folder / "asked")]
    runner = subprocess.Popen(
        [sys.executable, "-c", ctrl_c + "sys.exit(tree.main(sys.argv[1:]))", *words], stderr=subprocess.DEVNULL
    )
    while path.stat().st_size < sum(map(len, lines[:-900])):
        time.sleep(0.005)
    began = time.monotonic()
    runner.send_signal(signal.SIGINT)
    assert runner.wait() == 130
    to_stdout(f"{time.monotonic() - began:.1f} s from Ctrl-C to the prompt" + "\n")


def _command(*words: str) -> None:
    from niah.cli import tree

    with contextlib.redirect_stdout(io.StringIO()):
        code = tree.main(list(words))
    assert code == 0, code


def _table(folder: Path) -> None:
    _command("table", str(folder / "run"))
    to_stdout(_peak() + "\n")


def _figures(folder: Path) -> None:
    _command("figures", str(folder / "run"), "-o", str(folder / "figures"))
    to_stdout(_peak() + "\n")


def _report(folder: Path) -> None:
    page = folder / "page.html"
    _command("report", str(folder / "run"), "--no_thumbnails", "-o", str(page))
    to_stdout(f"{_peak()}, a page of {page.stat().st_size / 1e6:.1f} MB" + "\n")


def _near_duplicates(folder: Path) -> None:
    """Compare hashes of random footage with one another; nothing is decoded."""
    from niah.suite.near_duplicates import _pairs

    count = len(json.loads("[" + ",".join((folder / "suite" / "sources.jsonl").read_text().splitlines()) + "]"))
    draw = np.random.default_rng(0)
    hashed = [(f"p{n}", f"s{n}", draw.random((4, 64)) < 0.5, [0, 1, 2, 3]) for n in range(count)]
    to_stdout(f"{len(list(_pairs(hashed, first=HAYSTACKS)))} pairs among {count:,} pieces of footage, {_peak()}" + "\n")


STEPS = {
    "before": _before,
    "chance": _chance,
    "run": _run,
    "interrupt": _interrupt,
    "table": _table,
    "figures": _figures,
    "report": _report,
    "near-duplicates": _near_duplicates,
}

if __name__ == "__main__":
    main()
