"""Where the suites of runs lie on this machine, so that `niah report` finds the videos of a run on one's own footage.

A run's folder holds no path, as it can be published. The path of its suite is therefore kept in the cache, under the
hash of the run's cases.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from niah.io import cache_folder, replace_file

FOLDER = "suite_places"


def remember_suite(cases_sha256: str, suite: str) -> None:
    """Keep where the suite of these cases lies, if the disk allows: a file, a folder, or the name of one that ships."""
    path = Path(suite).absolute()
    place = _place(cases_sha256)
    with contextlib.suppress(OSError):  # a full or read-only disk costs `niah report` the footage, nothing else
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, str(path) if path.exists() else suite)


def recall_suite(cases_sha256: str) -> str | None:
    """Return where the suite of these cases lies; None if it was never asked here, or lies there no more."""
    try:
        suite = _place(cases_sha256).read_text(encoding="utf-8")
    except OSError:
        return None
    return None if Path(suite).is_absolute() and not Path(suite).exists() else suite


def _place(cases_sha256: str) -> Path:
    """Return the file that holds the path."""
    return cache_folder() / FOLDER / cases_sha256[:32]
