"""What a run ran on, for run.json: versions, machine, git state; no host name, no folder of this machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from niah.run.config import without_machine_paths
from niah.run.worker import package_versions

PACKAGES = ("videoniah", "numpy", "av", "decord", "torch", "transformers", "open_clip_torch", "scipy", "pandas")
ROOT = Path(__file__).resolve().parents[2]


def collect_environment(arguments: Sequence[str], timeout: float) -> dict[str, Any]:
    """Return everything about this run that is not a setting; git and nvidia-smi have `timeout` seconds each."""
    return {
        "command": ["python", "-m", "niah.run", *(_publishable(argument) for argument in arguments)],
        "python": platform.python_version(),
        "versions": package_versions(PACKAGES),
        "device": device(timeout),
        "git": git_state(timeout),
    }


def device(timeout: float) -> dict[str, Any]:
    """Return processor, memory and accelerators."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "accelerators": _accelerators(timeout),
    }


def git_state(timeout: float) -> dict[str, Any] | None:
    """Return the commit and whether files differ from it; None outside a git checkout."""
    commit = _output_of(timeout, "git", "-C", str(ROOT), "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _output_of(timeout, "git", "-C", str(ROOT), "status", "--porcelain")
    return {"commit": commit, "dirty": bool(changes)}


def _processor() -> str:
    """Return the processor's model."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _accelerators(timeout: float) -> list[str]:
    """Return NVIDIA devices as name, memory, driver; the harness has no torch to ask for others."""
    query = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    return (_output_of(timeout, *query) or "").splitlines()


def _output_of(timeout: float, *command: str) -> str | None:
    """Return what a program prints; None where it is missing, fails or takes longer than `timeout` seconds."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:  # a driver that hangs costs a line of run.json, not the run
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _publishable(argument: str) -> str:
    """Return an argument of the command line without folders of this machine."""
    head, equals, tail = argument.partition("=")
    if argument.startswith("--") and equals:
        return f"{head}={without_machine_paths(tail)}"
    if "=" in argument:  # model_args
        parts = (part.partition("=") for part in argument.split(","))
        return ",".join(f"{key}{equals}{without_machine_paths(value)}" for key, equals, value in parts)
    return str(without_machine_paths(argument))
