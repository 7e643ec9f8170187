"""The checks: each yields lines that say ok, warn or fail, what was found, and how to mend it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from niah.tools.doctor.finding import FAIL, INSTALL, OK, WARN, Finding, probe
from niah.tools.doctor.packages import installed, packages, project_table

DECODERS = ("pyav", "decord", "torchcodec")
GIB = 2**30
WANTED_GIB, LEAST_GIB = 5, 0.5


def python(timeout: float) -> Iterator[Finding]:
    """Check this interpreter, and whether the project is installed in it."""
    wanted, found = project_table().get("requires-python", ""), platform.python_version()
    if sys.version_info < (3, 11):  # noqa: UP036 - it must say so where it is run by an older one
        yield Finding(
            FAIL, "python", f"{found}, wanted {wanted or '>=3.11'}", "make an environment with a newer Python"
        )
    else:
        yield Finding(OK, "python", f"{found} (wanted {wanted}), {platform.system()} {platform.machine()}")
    adapters = [point.name for point in _entry_points("videoniah.adapters")]
    if adapters:
        yield Finding(OK, "models", f"{len(adapters)} by name: {', '.join(sorted(adapters))}")
    else:
        yield Finding(FAIL, "models", "none is known by name: the project is not installed here", INSTALL)


def decoders(timeout: float) -> Iterator[Finding]:
    """Write a tiny clip, and read it with every decoder."""
    for name in DECODERS:
        told = probe("decoder", name, timeout=timeout)
        if "ok" in told:
            yield Finding(OK, f"decoder {name}", told["ok"])
        elif name == DECODERS[0]:
            yield Finding(FAIL, f"decoder {name}", told["error"], "run: pip install --force-reinstall av")
        elif not installed(name):
            yield Finding(OK, f"decoder {name}", "not installed; pyav is the default")
        else:
            yield Finding(WARN, f"decoder {name}", told["error"], f"leave --decoder {name} out; pyav is the default")


def codecs(timeout: float) -> Iterator[Finding]:
    """Check that videos can be written, and the usual ones read."""
    told = probe("codecs", timeout=timeout)
    if "writes" in told:
        yield Finding(OK, "codec for writing", f"H.264 ({told['writes']})")
    else:
        mend = "run: pip install --force-reinstall av (its wheels have libx264; a build of your own needs it too)"
        yield Finding(FAIL, "codec for writing", told["error"], mend)
    if told.get("missing"):
        mend = "videos in these are reported and left out; re-encode them, or install av from its wheel"
        yield Finding(WARN, "codecs for reading", f"missing: {', '.join(told['missing'])}", mend)
    elif "missing" in told:
        yield Finding(OK, "codecs for reading", "all the usual ones")


def gpu(timeout: float) -> Iterator[Finding]:
    """Compare what the driver sees with what torch sees, and compute something."""
    seen = _nvidia(timeout)
    for device in seen:
        yield Finding(OK, "driver", device)
    told = probe("torch", timeout=timeout)
    if "error" in told:
        yield Finding(FAIL, "torch", told["error"], "reinstall it: pip install --force-reinstall torch")
        return
    build = f"CUDA {told['cuda']}" if told["cuda"] else "for the CPU alone"
    if told["device"] != "cpu":
        there = "; ".join(told["devices"]) or told["device"]
        yield Finding(OK, "torch", f"{told['torch']} ({build}) computes on {there}")
    elif seen:
        mend = (
            "its CUDA is newer than the driver, or hidden by CUDA_VISIBLE_DEVICES: update the driver, or install a "
            "torch for an older CUDA"
            if told["cuda"]
            else "install a build of torch with CUDA"
        )
        yield Finding(WARN, "torch", f"{told['torch']} ({build}) sees no GPU although the driver does", mend)
    else:
        yield Finding(OK, "torch", f"{told['torch']} ({build}); no GPU here, so models run on the CPU")


def disk(timeout: float) -> Iterator[Finding]:
    """Check the room for footage and runs."""
    for what, place in (("disk of the cache", cache_folder), ("disk of this folder", Path.cwd)):
        try:
            folder = place()
            free = disk_free(folder)
        except (OSError, RuntimeError) as error:  # somebody else's folder, one that is gone; RuntimeError: no home
            yield Finding(FAIL, what, str(error), "go to a folder that is yours, and export VIDEONIAH_CACHE=FOLDER")
            continue
        said = f"{free:,.1f} GiB free ({folder})"
        if free < LEAST_GIB:
            yield Finding(FAIL, what, said, "free some space, or move the cache: export VIDEONIAH_CACHE=FOLDER")
        elif free < WANTED_GIB:
            yield Finding(WARN, what, said, "the default suite is small, long ones are not: niah cache list")
        else:
            yield Finding(OK, what, said)


def disk_free(folder: Path) -> float:
    """Return the GiB free where a folder lies or will lie."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / GIB


def cache(timeout: float) -> Iterator[Finding]:
    """Check that the cache folder can be written, and say how much it holds."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        mend = "give yourself access, or export VIDEONIAH_CACHE=FOLDER"
        yield Finding(FAIL, "cache", f"{folder}: {error.strerror}", mend)
        return
    sizes = list(_sizes(folder))
    said = f"{folder}: {len(sizes):,} files, {sum(sizes) / GIB:.2f} GiB, can be written"
    yield Finding(OK, "cache", said)


def _sizes(folder: Path) -> Iterator[int]:
    """Yield the bytes of each file; a run that goes on beside this may have renamed or deleted one by now."""
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                yield os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:  # a partial file that is whole now
                continue


def hub(timeout: float) -> Iterator[Finding]:
    """Ask the hub whether it can be reached."""
    told = probe("hub", str(timeout), timeout=timeout)
    if "ok" in told:
        yield Finding(OK, "hub", told["ok"])
    else:
        mend = "nothing needs it but hub names and --push; behind a proxy export https_proxy, for a mirror HF_ENDPOINT"
        yield Finding(WARN, "hub", told["error"], mend)


CHECKS = {check.__name__: check for check in (python, packages, decoders, codecs, gpu, disk, cache, hub)}


def cache_folder() -> Path:
    """Return where footage and measured files are kept, as everywhere else; written out so as to import nothing."""
    chosen = os.environ.get("VIDEONIAH_CACHE")
    return Path(chosen).absolute() if chosen else Path.home() / ".cache" / "videoniah"


def _entry_points(group: str) -> list:
    """Return entry points of a group; old Pythons have another call for it."""
    if sys.version_info >= (3, 10):  # noqa: UP036
        return list(metadata.entry_points(group=group))
    return list(metadata.entry_points().get(group, []))


def _nvidia(timeout: float) -> list[str]:
    """Return what the NVIDIA driver sees, a line for each device."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return []
    return done.stdout.strip().splitlines() if done.returncode == 0 else []
