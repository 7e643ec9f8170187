"""The checks: each yields findings that are ok, warn or fail, with what was found and how to fix it."""

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

from niah.tools.doctor.finding import FAIL, INSTALL, OK, WARN, Finding, run_probe
from niah.tools.doctor.packages import is_installed, packages, project_table

DECODERS = ("pyav", "decord", "torchcodec")
GIB = 2**30
RECOMMENDED_GIB = 5
MINIMUM_GIB = 0.5


def python(timeout: float) -> Iterator[Finding]:
    """Check this interpreter, and that the project is installed in it."""
    wanted = project_table().get("requires-python", "")
    found = platform.python_version()
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python must get this far
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
        report = run_probe("decoder", name, timeout=timeout)
        if "ok" in report:
            yield Finding(OK, f"decoder {name}", report["ok"])
        elif name == DECODERS[0]:
            yield Finding(FAIL, f"decoder {name}", report["error"], "run: pip install --force-reinstall av")
        elif not is_installed(name):
            yield Finding(OK, f"decoder {name}", "not installed; pyav is the default")
        else:
            yield Finding(WARN, f"decoder {name}", report["error"], f"leave --decoder {name} out; pyav is the default")


def codecs(timeout: float) -> Iterator[Finding]:
    """Check that videos can be written, and the usual ones read."""
    report = run_probe("codecs", timeout=timeout)
    if "writes" in report:
        yield Finding(OK, "codec for writing", f"H.264 ({report['writes']})")
    else:
        fix = "run: pip install --force-reinstall av (its wheels have libx264; a build of your own needs it too)"
        yield Finding(FAIL, "codec for writing", report["error"], fix)
    if report.get("missing"):
        fix = "videos in these are reported and left out; re-encode them, or install av from its wheel"
        yield Finding(WARN, "codecs for reading", f"missing: {', '.join(report['missing'])}", fix)
    elif "missing" in report:
        yield Finding(OK, "codecs for reading", "all the usual ones")


def gpu(timeout: float) -> Iterator[Finding]:
    """Check that torch sees the devices that the driver sees, and can compute."""
    devices = _nvidia_devices(timeout)
    for device in devices:
        yield Finding(OK, "driver", device)
    report = run_probe("torch", timeout=timeout)
    if "error" in report:
        yield Finding(FAIL, "torch", report["error"], "reinstall it: pip install --force-reinstall torch")
        return
    build = f"CUDA {report['cuda']}" if report["cuda"] else "for the CPU alone"
    if report["device"] != "cpu":
        computes_on = "; ".join(report["devices"]) or report["device"]
        yield Finding(OK, "torch", f"{report['torch']} ({build}) computes on {computes_on}")
    elif devices:
        fix = "install a build of torch with CUDA"
        if report["cuda"]:
            fix = (
                "its CUDA is newer than the driver, or hidden by CUDA_VISIBLE_DEVICES: update the driver, or install a "
                "torch for an older CUDA"
            )
        yield Finding(WARN, "torch", f"{report['torch']} ({build}) sees no GPU although the driver does", fix)
    else:
        yield Finding(OK, "torch", f"{report['torch']} ({build}); no GPU here, so models run on the CPU")


def disk(timeout: float) -> Iterator[Finding]:
    """Check the free disk space for footage and runs."""
    for subject, place in (("disk of the cache", cache_folder), ("disk of this folder", Path.cwd)):
        try:
            folder = place()
            free = disk_free(folder)
        except (OSError, RuntimeError) as error:  # no access, or the folder is gone; RuntimeError: no home
            yield Finding(FAIL, subject, str(error), "use a folder of your own, and export VIDEONIAH_CACHE=FOLDER")
            continue
        message = f"{free:,.1f} GiB free ({folder})"
        if free < MINIMUM_GIB:
            yield Finding(FAIL, subject, message, "free some space, or move the cache: export VIDEONIAH_CACHE=FOLDER")
        elif free < RECOMMENDED_GIB:
            yield Finding(WARN, subject, message, "the default suite is small, long ones are not: niah cache list")
        else:
            yield Finding(OK, subject, message)


def disk_free(folder: Path) -> float:
    """Return the free GiB of the disk that a folder is or will be on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / GIB


def cache(timeout: float) -> Iterator[Finding]:
    """Check that the cache folder can be written, and report how much it holds."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        fix = "give yourself access, or export VIDEONIAH_CACHE=FOLDER"
        yield Finding(FAIL, "cache", f"{folder}: {error.strerror}", fix)
        return
    sizes = list(_sizes(folder))
    message = f"{folder}: {len(sizes):,} files, {sum(sizes) / GIB:.2f} GiB, can be written"
    yield Finding(OK, "cache", message)


def _sizes(folder: Path) -> Iterator[int]:
    """Yield the size of each file; a run in progress may rename or delete files meanwhile."""
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                yield os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:  # a partial file that got its final name
                continue


def hub(timeout: float) -> Iterator[Finding]:
    """Check that the Hugging Face hub can be reached."""
    report = run_probe("hub", str(timeout), timeout=timeout)
    if "ok" in report:
        yield Finding(OK, "hub", report["ok"])
    else:
        fix = "nothing needs it but hub names and --push; behind a proxy export https_proxy, for a mirror HF_ENDPOINT"
        yield Finding(WARN, "hub", report["error"], fix)


CHECKS = {check.__name__: check for check in (python, packages, decoders, codecs, gpu, disk, cache, hub)}


def cache_folder() -> Path:
    """Return `niah.io.cache_folder()`, repeated here because that module needs NumPy."""
    chosen = os.environ.get("VIDEONIAH_CACHE")
    return Path(chosen).absolute() if chosen else Path.home() / ".cache" / "videoniah"


def _entry_points(group: str) -> list:
    """Return the entry points of a group; Python 3.9 has another call for it."""
    if sys.version_info >= (3, 10):  # noqa: UP036
        return list(metadata.entry_points(group=group))
    return list(metadata.entry_points().get(group, []))


def _nvidia_devices(timeout: float) -> list[str]:
    """Return a line for each device that the NVIDIA driver sees."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return []
    return done.stdout.strip().splitlines() if done.returncode == 0 else []
