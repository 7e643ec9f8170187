"""Disturb runs at random for as long as one likes, and count what is lost: `python -m tests.soak --minutes 60`.

A round asks the small suite into a folder of its own. Its adapter misbehaves now and then, and from outside runners and
workers are killed, stopped or interrupted, videos vanish, and the disk fills. The same command is given until every
record is final; the last times nothing is disturbed. Nothing is lost where an answer that was written once is there
ever after, the records end equal to an undisturbed run's but for `measured`, no command ends with a traceback, and no
process is left. Folders of rounds that lost something are kept and named.

A worker that is stopped (SIGSTOP) is to its runner what one is that waits for a file which never comes. Out of memory
is not among the faults: it is an answer. Disks: `--disk` names a folder on a file system that may be filled, such as
`mount -t tmpfs -o size=4m tmpfs FOLDER`; without it, runners may write files of so many bytes only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from niah.terminal import to_stdout
from tests.helpers.fake_adapters import Says, brightest
from tests.helpers.small_suite import make_suite

ROOT = Path(__file__).resolve().parents[1]
DISTURBED = 8  # commands of a round; what is left is asked undisturbed
EARLY = 0.1  # of the moments before a worker has started at which something is done nonetheless
SHARE = 0.2  # of the questions at which the adapter misbehaves
LIMITS = ["--timeout", "10", "--grace", "1", "--load_timeout", "120", "--stop_after_errors", "0", "--no_figures"]
# Runs the command that follows so that Ctrl-C reaches it, as in tests/niah/run/test_kills.py.
WITH_CTRL_C = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('niah.run', run_name='__main__', alter_sys=True)"
)


def adapter():
    """Answer rightly after a moment, or misbehave where $SOAK_LOG names a file, where that is noted first."""

    def say(video, question):
        time.sleep(0.3)
        log = os.environ.get("SOAK_LOG")
        if log and random.random() < SHARE:
            name = random.choice(list(MISBEHAVING))
            with open(log, "a") as file:
                file.write(f"{name}\n")
            return MISBEHAVING[name]()
        return brightest(video, question)

    return Says(say)


def _raise():
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def _nonsense():
    for descriptor in range(1, 64):
        with suppress(OSError):
            os.write(descriptor, b"nonsense\n")
    time.sleep(600)


def _leave_a_server():
    """Start a process in a session of its own, whose parent is gone, and die."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    time.sleep(0.1)
    os._exit(1)


MISBEHAVING = {
    "worker exits": lambda: os._exit(7),
    "worker crashes": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "worker hangs": lambda: time.sleep(600),
    "worker loses its device": _raise,
    "worker writes nonsense": _nonsense,
    "worker replies nonsense": lambda: "B",
    "worker leaves a server": _leave_a_server,
}


@dataclass
class Soak:
    """What is disturbed, and what came of it."""

    suite: Path
    folder: Path
    disk: Path | None
    draw: random.Random
    tried: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    commands: int = 0

    def round(self, name: str, engine: list[str], wanted: list[dict]) -> None:
        """Ask into a folder until every record is final, and compare."""
        out = (self.disk or self.folder) / name
        log, problems, written = self.folder / f"{name}.log", [], {}
        for number in range(DISTURBED + 3):
            code, said = self._command(out, engine, log if number < DISTURBED else None)
            rows = rows_of(out)
            problems += [f"{case} had an answer, which is gone" for case in written if rows.get(case) != written[case]]
            written |= {case: row for case, row in rows.items() if row["status"] == "ok"}
            if "Traceback" in said and not said.rstrip().endswith("KeyboardInterrupt"):  # in the middle of an import
                problems.append(f"traceback: {said[-600:]}")
            if code == 0:
                break
        if list(rows_of(out).values()) != wanted:
            problems.append("the records are not those of an undisturbed run")
        problems += left_behind(log)
        self.tried.update(log.read_text().split("\n")[:-1] if log.exists() else [])
        if problems:
            self.lost += [f"{name}: {problem}" for problem in dict.fromkeys(problems)]
            shutil.copytree(out, self.folder / "lost" / name)
        shutil.rmtree(out)

    def report(self, rounds: int) -> str:
        """Return what was tried so far, and what was lost."""
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.tried.items()))
        head = f"{rounds} rounds, {self.commands} commands, {self.tried.total()} faults ({faults})"
        return "\n  ".join([f"{head}; lost: {len(self.lost)}", *self.lost])

    def _command(self, out: Path, engine: list[str], log: Path | None) -> tuple[int, str]:
        """Give the command once, disturbed where there is a log, and return its exit code and what it said."""
        self.commands += 1
        environment = {**os.environ, **({} if log is None else {"SOAK_LOG": str(log)})}
        words = [sys.executable, "-c", WITH_CTRL_C, "--suite", str(self.suite), "--model", "tests.soak:adapter"]
        with tempfile.TemporaryFile("w+") as said:
            runner = subprocess.Popen(
                [*words, *LIMITS, *engine, "-o", str(out)], cwd=ROOT, env=environment, stderr=said, stdout=said,
                start_new_session=True,
            )  # fmt: skip
            while runner.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    runner.wait(self.draw.uniform(0.5, 6))
                    break
                if log is not None:
                    self._disturb(runner, out)
            for process in _living(log):
                with suppress(psutil.Error):  # one that was stopped can end by itself again
                    process.resume()
            said.seek(0)
            return runner.returncode, said.read()

    def _disturb(self, runner: subprocess.Popen, out: Path) -> None:
        """Do one thing to a runner, its workers, videos or disk."""
        if not workers_of(runner.pid) and self.draw.random() > EARLY:
            return
        name = self.draw.choice(list(FAULTS))
        with suppress(psutil.Error):  # it has ended meanwhile
            if FAULTS[name](self, psutil.Process(runner.pid), out):
                self.tried[name] += 1

    def signal_runner(self, runner: psutil.Process, number: int) -> bool:
        """Send the runner a signal."""
        runner.send_signal(number)
        return True

    def signal_worker(self, runner: psutil.Process, number: int) -> bool:
        """Send one of the workers a signal, if there is one."""
        workers = workers_of(runner.pid)
        if workers:
            self.draw.choice(workers).send_signal(number)
        return bool(workers)

    def hide_video(self) -> bool:
        """Take a video away for a moment."""
        video = self.draw.choice(sorted(self.suite.parent.glob("*.mp4")))
        hidden = video.with_suffix(".away")
        video.rename(hidden)
        time.sleep(self.draw.uniform(0.2, 2))
        hidden.rename(video)
        return True

    def fill_disk(self, runner: psutil.Process, out: Path) -> bool:
        """Let nothing more be written for a moment: on a disk of its own by a file that takes the rest of it."""
        if self.disk is None:
            _, hard = runner.rlimit(psutil.RLIMIT_FSIZE)
            records = out / "records.jsonl"
            size = records.stat().st_size if records.exists() else 0
            runner.rlimit(psutil.RLIMIT_FSIZE, (size + self.draw.randrange(2000), hard))
            return True
        ballast = self.disk / "ballast"
        with suppress(OSError), open(ballast, "wb", buffering=0) as file:
            for size in (1 << 16, 1 << 8, 1):
                with suppress(OSError):
                    while file.write(b"-" * size):
                        pass
        time.sleep(self.draw.uniform(0.5, 4))
        ballast.unlink(missing_ok=True)
        return True


FAULTS = {
    "runner killed": lambda soak, runner, out: soak.signal_runner(runner, signal.SIGKILL),
    "Ctrl-C": lambda soak, runner, out: soak.signal_runner(runner, signal.SIGINT),
    "SIGTERM": lambda soak, runner, out: soak.signal_runner(runner, signal.SIGTERM),
    "worker killed": lambda soak, runner, out: soak.signal_worker(runner, signal.SIGKILL),
    "worker stopped": lambda soak, runner, out: soak.signal_worker(runner, signal.SIGSTOP),
    "video away": lambda soak, runner, out: soak.hide_video(),
    "disk full": lambda soak, runner, out: soak.fill_disk(runner, out),
}


def workers_of(runner: int) -> list[psutil.Process]:
    """Return the worker processes of a runner."""
    found = []
    with suppress(psutil.Error):
        for child in psutil.Process(runner).children(recursive=True):
            with suppress(psutil.Error):  # it has ended meanwhile
                found += [child] if "niah.run.worker" in child.cmdline() else []
    return found


def rows_of(out: Path) -> dict[str, dict]:
    """Return the whole records of a folder by case, without what may differ."""
    path = out / "records.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    rows = [json.loads(line) for line in lines]
    return {row["case"]: {key: value for key, value in row.items() if key != "measured"} for row in rows}


def left_behind(log: Path) -> list[str]:
    """Return the processes of a round that still live some seconds after it, and kill them."""
    deadline = time.monotonic() + 20
    while (alive := list(_living(log))) and time.monotonic() < deadline:
        time.sleep(0.5)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    return [f"a process was left behind: {process.name()}" for process in alive]


def _living(log: Path | None) -> Iterator[psutil.Process]:
    """Yield the processes that were started by a disturbed round: its log is in their environment."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            ours = log is not None and process.environ().get("SOAK_LOG") == str(log)
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                yield process


ENGINES = {
    "local": [],
    "parallel": ["--num_workers", "3"],
    "ray": ["--engine", "ray", "--num_workers", "2"],
}


def main() -> None:
    """Run rounds, the engines in turns, until the time is over; print what was tried and what was lost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=["local", "parallel"])
    parser.add_argument("--disk", type=Path, help="a folder on a small file system, which is filled now and then")
    parser.add_argument("--seed", default="soak", help="of what is done when; when it takes effect, nobody can repeat")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak"))
    os.environ["VIDEONIAH_CACHE"] = str(folder / "cache")
    suite = make_suite(folder / "videos")
    soak = Soak(suite, folder, options.disk, random.Random(options.seed))
    soak._command(folder / "undisturbed", [], None)
    wanted = list(rows_of(folder / "undisturbed").values())
    ends = time.monotonic() + 60 * options.minutes
    rounds = 0
    while time.monotonic() < ends:
        engine = options.engines[rounds % len(options.engines)]
        rounds += 1
        soak.round(f"{rounds}-{engine}", ENGINES[engine], wanted)
        to_stdout(f"{soak.report(rounds)}\n")
    if soak.lost:
        sys.exit(f"lost something; see {folder / 'lost'}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
