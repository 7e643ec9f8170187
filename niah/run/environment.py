"""Say what a run ran on, for run.json: versions, machine, git state; no host name, no folder of this machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from niah.run.config import without_machine_paths

PACKAGES = ("videoniah", "numpy", "av", "decord", "torch", "transformers", "open_clip_torch", "scipy", "pandas")
ROOT = Path(__file__).resolve().parents[2]


def collect_environment(arguments: Sequence[str], seconds: float) -> dict[str, Any]:
    """Return everything about this run that is not a setting; git and nvidia-smi get so many `seconds` each."""
    return {
        "command": ["python", "-m", "niah.run", *(_argument(argument) for argument in arguments)],
        "python": platform.python_version(),
        "versions": versions(),
        "device": device(seconds),
        "git": git_state(seconds),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that can move a number, where installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # optional
    return found


def device(seconds: float) -> dict[str, Any]:
    """Return processor, memory and accelerators."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "accelerators": _accelerators(seconds),
    }


def git_state(seconds: float) -> dict[str, Any] | None:
    """Return the commit and whether files differ from it; None outside a git checkout."""
    commit = _said(seconds, "git", "-C", str(ROOT), "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_said(seconds, "git", "-C", str(ROOT), "status", "--porcelain"))}


def _processor() -> str:
    """Return the processor's model."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _accelerators(seconds: float) -> list[str]:
    """Return NVIDIA devices as name, memory, driver; the harness has no torch to ask for others."""
    said = _said(seconds, "nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    return said.splitlines() if said else []


def _said(seconds: float, *command: str) -> str | None:
    """Return what a program prints, None where it is missing, fails or says nothing in time."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:  # a driver that hangs costs a line of run.json, not the run
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _argument(argument: str) -> str:
    """Return a word of the command line without a folder of this machine."""
    head, equals, tail = argument.partition("=")
    if argument.startswith("--") and equals:
        return f"{head}={without_machine_paths(tail)}"
    if "=" in argument:  # model_args
        parts = (part.partition("=") for part in argument.split(","))
        return ",".join(f"{key}{equals}{without_machine_paths(value)}" for key, equals, value in parts)
    return str(without_machine_paths(argument))
