"""What a model is: its adapter's source files, the files of its checkpoint, the libraries it uses.

All of it is texts by name, such as "file mymodel.py" or "version of torch". The worker reports them, as it alone has
the model's interpreter and files; what needs no loaded model is also known before (`python -m niah.run.identity`), so
that a changed file is noticed without loading the model. No text holds a folder of this machine.

Imports on Python 3.9 with NumPy alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from niah.io import cache_folder, replace_file
from niah.run.adapter_files import adapter_files, load_defaults, package_folder
from niah.types import UserError

LIBRARIES = ("torch", "transformers")
# Settings that name what a model writes, which changes while it runs.
WRITTEN = re.compile(r"cache|store|temp|tmp|scratch|log|out|save|dump|debug", re.IGNORECASE)
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
NO_PART = {".md", ".rst", ".log", ".png", ".jpg", ".jpeg", ".gif", ".pdf", ".svg", ".csv", ".html", ".ipynb"}
NO_PART |= {".mp4", ".mkv", ".webm", ".avi", ".mov", ".pyc", ".lock", ".tmp", ".partial", ".incomplete", ".out"}
MAX_FILES = 300  # of one setting that are named one by one
LARGE = 1 << 22  # bytes from which a file's hash is kept
CHUNK = 1 << 20
_IMPORTED: Dict[
    str, Tuple[Any, Mapping[str, str]]
] = {}  # target -> its module in this process, and the sources of that


@dataclass(frozen=True)
class Origin:
    """Where an adapter and its checkpoint come from, found before the adapter can change the current folder."""

    target: str
    sources: Mapping[str, str]  # parts, not paths: hashed before they are imported
    places: Mapping[str, Path]  # files and folders that settings name
    names: Mapping[str, str]  # settings that may name a checkpoint of the hub
    revision: Optional[str]


def origin_of(target: str, settings: Mapping[str, Any]) -> Origin:
    """Return the origin of the adapter that "module:function" makes with these settings."""
    sources = {f"file {name}": _file_part(path) for name, path in adapter_files(target).items()}
    values = dict(_texts({**load_defaults(target), **settings}))
    package = package_folder(target)
    places: Dict[str, Path] = {}
    for name, value in values.items():
        place = _place(value, package)
        if place is not None:
            places[name] = place
    names = {name: value for name, value in values.items() if name not in places and HUB_NAME.fullmatch(value)}
    return Origin(target, sources, places, names, values.get("revision"))


def checkpoint_parts(origin: Origin) -> Dict[str, str]:
    """Return what the settings of a model name: files with size and hash, hub checkpoints with their revision."""
    parts: Dict[str, str] = {}
    for name, place in origin.places.items():
        parts.update(_place_parts(name, place))
    for name, value in origin.names.items():
        revision = hub_revision(value, origin.revision)
        if revision is not None:
            parts[f"{name} {value}"] = f"revision {revision}"
    return parts


def known_before_loading(target: str, settings: Mapping[str, Any]) -> Dict[str, str]:
    """Return what an unloaded model's identity says; libraries are those installed, imported or not."""
    origin = origin_of(target, settings)
    return {**origin.sources, **checkpoint_parts(origin), **_versions(LIBRARIES)}


def loaded_identity(origin: Origin, adapter: Any) -> Dict[str, str]:
    """Return the identity of a loaded adapter; its optional `identity()` adds what only the adapter knows.

    Raises UserError where `identity()` returns anything but texts by name.
    """
    imported = [name for name in LIBRARIES if name in sys.modules]
    parts = {**_imported_sources(origin), **checkpoint_parts(origin), **_versions(imported)}
    report = getattr(adapter, "identity", None)  # optional in the contract
    return {**parts, **_own_parts(report())} if callable(report) else parts


def _imported_sources(origin: Origin) -> Mapping[str, str]:
    """Return the sources as they were when this process imported them; it does not import an edited file again."""
    module = sys.modules.get(origin.target.partition(":")[0])
    kept = _IMPORTED.get(origin.target)
    if module is None or kept is None or kept[0] is not module:
        kept = _IMPORTED[origin.target] = (module, origin.sources)
    return kept[1]


def _own_parts(reported: Any) -> Dict[str, str]:
    """Return what an adapter's `identity()` returned. Raises UserError where that is not texts by name."""
    if not isinstance(reported, Mapping) or not all(
        isinstance(item, str) for pair in reported.items() for item in pair
    ):
        raise UserError(f"an adapter's identity() returns texts by name, a Mapping[str, str], got {reported!r}")
    return dict(reported)


def hub_revision(name: str, revision: Optional[str] = None) -> Optional[str]:
    """Return the commit of a checkpoint in this machine's cache of the hub; None where it is not there."""
    home = Path(os.environ.get("HF_HOME") or os.path.expanduser("~/.cache/huggingface"))
    folder = Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"models--{name.replace('/', '--')}"
    wanted = revision or "main"
    try:
        return (folder / "refs" / wanted).read_text("utf-8").strip()
    except OSError:
        return wanted if (folder / "snapshots" / wanted).is_dir() else None


def _texts(values: Mapping[str, Any]) -> Iterator[Tuple[str, str]]:
    """Yield (name, value) of all settings that are texts, and not for what the model writes."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", item) for key, item in _texts({str(k): v for k, v in value.items()}))
        elif isinstance(value, str) and value and not WRITTEN.search(name):
            yield name, value


def _place(value: str, package: Optional[Path]) -> Optional[Path]:
    """Return the file or folder that a setting names, that of a checkpoint shipped with the package first."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # too long, a NUL, a user without a home: no path
        if package is not None and not os.path.isabs(value) and (package / "checkpoints" / value).is_dir():
            return package / "checkpoints" / value
        place = Path(value).expanduser()
        if place.is_file() or place.is_dir():
            return place.absolute()
    return None


def _place_parts(name: str, place: Path) -> Dict[str, str]:
    """Return the files at a place; where there are very many, one hash of all."""
    if place.is_file():
        return {f"{name} {place.name}": _file_part(place)}
    files = _files_below(place)
    parts = {path.relative_to(place).as_posix(): _file_part(path) for path in files}
    if len(parts) <= MAX_FILES:
        return {f"{name} {file}": part for file, part in parts.items()}
    whole = hashlib.sha256(json.dumps(sorted(parts.items())).encode()).hexdigest()
    size = sum(path.stat().st_size for path in files)
    return {name: f"{len(parts)} files of {_size_and_hash(size, whole)}"}


def _files_below(folder: Path) -> List[Path]:
    """Return the files that may decide an answer: none that is hidden, for a person, or of a run or the cache."""
    found: List[Path] = []
    cache = cache_folder()
    for parent, folders, names in os.walk(folder):
        if "run.json" in names or Path(parent) == cache:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        paths = [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
        found += [path for path in paths if path.suffix.lower() not in NO_PART and path.is_file()]
    return found


def _file_part(path: Path) -> str:
    """Return size and hash of a file. Raises UserError where it cannot be read."""
    try:
        status = path.stat()
        if status.st_size < LARGE:
            return _size_and_hash(status.st_size, _sha256(path))
        state = [str(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        return _size_and_hash(status.st_size, _kept_sha256(path, state))
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}), so it is not known which model this is; make it readable"
        ) from error


def _size_and_hash(size: int, digest: str) -> str:
    return f"{size:,} bytes, sha256 {digest}"


def _kept_sha256(path: Path, state: List[Any]) -> str:
    """Return the hash of a large file; it is kept in the cache as long as the file is in this state."""
    key = hashlib.sha256(str(state[0]).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    file = cache_folder() / "hashes" / f"{key}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # not there, or damaged
        kept = json.loads(file.read_text("utf-8"))
        if kept["state"] == state[1:]:
            return str(kept["sha256"])
    digest = _sha256(path)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time only
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, json.dumps({"state": state[1:], "sha256": digest}) + "\n")
    return digest


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(CHUNK), b""):
            digest.update(block)
    return digest.hexdigest()


def _versions(names: Any) -> Dict[str, str]:
    """Return the versions of those libraries that are installed."""
    found: Dict[str, str] = {}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found[f"version of {name}"] = version(name)
    return found


def main() -> None:
    """Read target and settings as JSON from stdin; print what is known of the model before it is loaded."""
    asked = json.load(sys.stdin)
    sys.stdout.write(json.dumps(known_before_loading(asked["target"], asked["settings"])) + "\n")


if __name__ == "__main__":
    main()
