"""How far a manifest reaches: into its media root, and to the network only where the suite says so.

A manifest often comes from somebody else. A download runs in a process of its own, because only ending
that ends every kind of stall (a name server that is silent, a header that drips) at the second promised.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from niah.io import cache_folder, replacing
from niah.suite.config import Downloads
from niah.suite.public_addresses import HttpHandler, HttpsHandler, NotPublic
from niah.types import UserError

SCHEMES = ("http", "https")
BLOCK = 1 << 16


SUITE_LEAVE = "set allow_outside: true in the suite (needles: or haystacks:)"


def refuse_outside(path: Path, root: Path, what: str, leave: str = SUITE_LEAVE) -> None:
    """Raise UserError where a path, its links followed, leads out of `root`. It need not exist.

    `leave` is how the user can allow it.
    """
    real, inside = Path(os.path.realpath(path)), Path(os.path.realpath(root))
    if not real.is_relative_to(inside):
        raise UserError(
            f"{what} leads out of {root}: put the file into that folder, or {leave} if you trust who wrote this"
        )


def refuse_dataset_card(folder: Path, what: str, leave: str = SUITE_LEAVE) -> None:
    """Raise UserError where the card of a local `datasets` folder names data outside of it, or an address.

    The library would load or download these without a word.
    """
    for file in (folder / "README.md", folder / ".huggingface.yaml"):
        text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
        front = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", text, re.DOTALL)
        try:
            about = yaml.safe_load(front[1] if front else "" if file.suffix == ".md" else text)
        except yaml.YAMLError as error:
            raise UserError(f"{what}: the head of {file.name} is not YAML ({error}); mend it") from None
        for named in _texts(about.get("configs") if isinstance(about, dict) else None):
            if "://" in named:
                raise UserError(f"{what}: {file.name} names the address {_shown(named)}; download it and name the file")
            refuse_outside(folder / named, folder, f"{what}: {file.name} names {named!r}, which", leave)


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in nested lists and mappings."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(part)


def is_address(video: str) -> bool:
    """Tell whether a video is named by an address rather than a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", video) is not None


def file_name(video: str) -> str:
    """Return the file's name in a path or an address, without what an address may carry besides."""
    return Path(unquote(re.split(r"[?#]", video)[0]) if is_address(video) else video).name


def download(address: str, downloads: Downloads | None, where: str) -> Path:
    """Return the file of an address, downloaded into the cache unless it is there.

    Raises UserError where the suite has no `downloads:`, and where the address, the transfer or its
    size is not as it should be; no part of a file is left then.
    """
    try:
        shown = _shown(address)
    except ValueError as error:
        raise UserError(f"{where}: video names no address that can be read ({error}); mend it") from None
    if urlsplit(address).scheme.lower() not in SCHEMES:
        raise UserError(f"{where}: {shown} is no address of http or https; name a file, or such an address")
    if "@" in urlsplit(address).netloc:
        raise UserError(f"{where}: {shown} holds a user's name or password, which results would keep; remove it")
    if downloads is None:
        raise UserError(
            f"{where}: {shown} is an address, and nothing is downloaded without leave: set downloads: {{}} under "
            "needles: in the suite (bounds: limit_gib, seconds), or download it and name the file"
        )
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", file_name(address)).lstrip(".")[-100:] or "video"
    file = _downloads() / hashlib.sha256(address.encode()).hexdigest()[:16] / name
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        _download(address, file, downloads, f"{where}: {shown}")
    return file


def is_download(path: Path) -> bool:
    """Tell whether a file lies where downloads are kept."""
    return path.is_relative_to(_downloads())


def transfer(address: str, file: str, limit: int, stall_seconds: float = 30.0, allow_private: bool = False) -> str:
    """Write what an address holds into a file; return what went wrong, "" if nothing did."""
    opener = urllib.request.OpenerDirector()  # not build_opener, whose handlers read local files too
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler() if allow_private else HttpHandler(),
        urllib.request.HTTPSHandler() if allow_private else HttpsHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    asked = urllib.request.Request(address, headers={"User-Agent": "videoniah", "Accept-Encoding": "identity"})
    try:
        with opener.open(asked, timeout=stall_seconds) as answer, open(file, "wb") as out:
            return _copied(answer, out, limit)
    except urllib.error.HTTPError as error:
        return f"the server says {error.code}: {str(error.reason).splitlines()[0] if error.reason else ''}"
    except NotPublic as error:
        return str(error)
    except urllib.error.URLError as error:
        return str(error.reason) if isinstance(error.reason, NotPublic) else f"it cannot be fetched ({error})"
    except (OSError, HTTPException, ValueError) as error:  # ValueError: an address that cannot be one
        return f"it cannot be fetched ({error})"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect to another kind of address, nor from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in SCHEMES or (before == "https" and after != "https"):
            raise urllib.error.URLError(f"it leads on from {before} to {after}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _copied(answer: Any, out: Any, limit: int) -> str:
    """Copy the body of an answer; return what was wrong with it."""
    told = answer.headers.get("Content-Length")
    promised = int(told) if told is not None and told.isdigit() else None
    if promised is not None and promised > limit:
        return f"it has {promised:,} bytes, {limit:,} are allowed (limit_gib)"
    written = 0
    while block := answer.read1(BLOCK):
        written += len(block)
        if written > limit:
            return f"it has more than the {limit:,} bytes that are allowed (limit_gib)"
        out.write(block)
    if promised is not None and written != promised:
        return f"it was cut short: {written:,} of {promised:,} bytes came"
    return "" if written else "it is empty"


def _download(address: str, file: Path, downloads: Downloads, what: str) -> None:
    """Let another process transfer a file, and end that when its time is up."""
    sys.stderr.write(f"downloading {_shown(address)}\n")
    bounds = (int(downloads.limit_gib * 2**30), downloads.stall_seconds, downloads.allow_private)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    with replacing(file) as temporary:
        order = json.dumps([address, str(temporary), *bounds])  # on stdin: an address may be signed
        try:
            done = subprocess.run(
                [sys.executable, "-m", "niah.suite.downloads"],
                input=order, env=environment, text=True, capture_output=True, timeout=downloads.seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise UserError(
                f"{what}: it did not come within {downloads.seconds:g} seconds; raise downloads: seconds, or download "
                "it and name the file"
            ) from None
        wrong = done.stdout.strip() if done.returncode == 0 else f"the download failed: {done.stderr.strip()[-200:]}"
        if wrong:
            raise UserError(f"{what}: {wrong}; mend the address, or download it and name the file")


def _downloads() -> Path:
    return cache_folder() / "downloads"


def _shown(address: str) -> str:
    """Return an address without what may be secret in it."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


if __name__ == "__main__":
    sys.stdout.write(transfer(*json.loads(sys.stdin.read())))
