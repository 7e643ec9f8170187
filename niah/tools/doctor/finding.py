"""What a check finds, and how it tries things: each in an interpreter of its own, which may end."""

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
    """One finding."""

    status: str
    subject: str
    message: str
    fix: str = ""


def probe(*words: str, timeout: float) -> dict:
    """Run one probe in an interpreter of its own; what ended it is told as `error`."""
    lines, ended = tried(words, timeout)
    told: dict = {}
    for line in lines:
        told.update(line)
    return told if told and not ended else {**told, "error": told.get("error", ended or "it said nothing")}


def tried(words: tuple, timeout: float) -> tuple[list[dict], str]:
    """Return what a probe told, and what ended it ("" if nothing did)."""
    around = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    command = [sys.executable, "-m", "niah.tools.doctor.probe", *words]
    ended = ""
    try:
        done = subprocess.run(command, env=around, capture_output=True, text=True, timeout=timeout, check=False)
        said = done.stdout
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or [""]
            killed = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
            ended = f"it ended its interpreter ({killed}) {last[0]}".strip()
    except subprocess.TimeoutExpired as error:
        text = error.stdout or ""
        said = text.decode(errors="replace") if isinstance(text, bytes) else text
        ended = f"no answer within {timeout:g} seconds (--timeout)"
    return [json.loads(line) for line in said.split("\n") if line.startswith("{")], ended
