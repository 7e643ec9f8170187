"""What a check finds, and how it runs a probe: in an interpreter of its own, which may crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
OK, WARN, FAIL = "ok", "warn", "fail"
INSTALL = "run: pip install -e . (in the project's folder, its virtual environment active)"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    status: str  # OK, WARN or FAIL
    subject: str
    message: str
    fix: str = ""


def run_probe(name: str, *arguments: str, timeout: float) -> dict:
    """Run one probe and return what it reported; a failure is reported as `error`."""
    lines, failure = probe_lines((name, *arguments), timeout)
    report: dict = {}
    for line in lines:
        report.update(line)
    if report and not failure:
        return report
    return {**report, "error": report.get("error", failure or "it reported nothing")}


def probe_lines(command: tuple, timeout: float) -> tuple[list[dict], str]:
    """Run one probe; return the lines it reported, and what ended its interpreter ("" if nothing did)."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    arguments = [sys.executable, "-m", "niah.tools.doctor.probe", *command]
    failure = ""
    try:
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
        output = done.stdout
        if done.returncode:
            last_line = (done.stderr.strip().splitlines() or [""])[-1]
            cause = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
            failure = f"it ended its interpreter ({cause}) {last_line}".strip()
    except subprocess.TimeoutExpired as error:
        partial = error.stdout or ""
        output = partial.decode(errors="replace") if isinstance(partial, bytes) else partial
        failure = f"no answer within {timeout:g} seconds (--timeout)"
    return [json.loads(line) for line in output.split("\n") if line.startswith("{")], failure
