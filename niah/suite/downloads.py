"""Limit what a needle file can read: only its media root, and the network only if the suite allows it.

Needle files are often written by others. A download runs in a separate process, because only killing a
process ends every kind of stall (a silent name server, a header that arrives byte by byte) on time.
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
from niah.terminal import to_stderr
from niah.types import UserError

SCHEMES = ("http", "https")
BLOCK = 1 << 16

SUITE_REMEDY = "set allow_outside: true in the suite (needles: or haystacks:)"


def refuse_outside(path: Path, root: Path, what: str, remedy: str = SUITE_REMEDY) -> None:
    """Raise UserError if a path, after its links are followed, is outside `root`. The file need not exist.

    Args:
        path: The path to check.
        root: The folder that must contain it.
        what: The subject of the message.
        remedy: How the user can allow it.
    """
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise UserError(
            f"{what} leads out of {root}: put the file into that folder, or {remedy} if you trust who wrote this"
        )


def refuse_dataset_card(folder: Path, what: str, remedy: str = SUITE_REMEDY) -> None:
    """Raise UserError if the card of a local `datasets` folder names an address or data outside the folder.

    The library would load or download them without asking. `what` is the subject of the message and `remedy`
    how the user can allow it.
    """
    for file in (folder / "README.md", folder / ".huggingface.yaml"):
        text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
        front = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", text, re.DOTALL)
        try:
            settings = yaml.safe_load(front[1] if front else "" if file.suffix == ".md" else text)
        except yaml.YAMLError as error:
            raise UserError(f"{what}: the head of {file.name} is not YAML ({error}); fix it") from None
        for named in _texts(settings.get("configs") if isinstance(settings, dict) else None):
            if "://" in named:
                raise UserError(
                    f"{what}: {file.name} names the address {_without_secrets(named)}; download it and name the file"
                )
            refuse_outside(folder / named, folder, f"{what}: {file.name} names {named!r}, which", remedy)


def _texts(value: Any) -> Iterator[str]:
    """Yield every string in nested lists and mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def is_address(video: str) -> bool:
    """Return True if a video is named by an address, not a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", video) is not None


def file_name(video: str) -> str:
    """Return the file's name in a path or an address, without an address's query and fragment."""
    path = unquote(re.split(r"[?#]", video)[0]) if is_address(video) else video
    return Path(path).name


def download(address: str, downloads: Downloads | None, where: str) -> Path:
    """Return the file of an address; it is downloaded unless it is cached.

    `where` starts every message. Raises UserError if the suite has no `downloads:`, if the address is not allowed,
    or if the transfer fails or is too large; then no partial file is left.
    """
    try:
        shown = _without_secrets(address)
    except ValueError as error:
        raise UserError(f"{where}: video is not a valid address ({error}); fix it") from None
    if urlsplit(address).scheme.lower() not in SCHEMES:
        raise UserError(f"{where}: {shown} is not an http or https address; name a file, or such an address")
    if "@" in urlsplit(address).netloc:
        raise UserError(f"{where}: {shown} contains a user name or password, which results would store; remove it")
    if downloads is None:
        raise UserError(
            f"{where}: {shown} is an address, and nothing is downloaded without permission: set downloads: {{}} "
            "under needles: in the suite (limits: limit_gib, seconds), or download it and name the file"
        )
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", file_name(address)).lstrip(".")[-100:] or "video"
    file = _downloads_folder() / hashlib.sha256(address.encode()).hexdigest()[:16] / name
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        _download(address, file, downloads, f"{where}: {shown}")
    return file


def is_download(path: Path) -> bool:
    """Return True if a file is in the folder of downloads."""
    return path.is_relative_to(_downloads_folder())


def transfer(address: str, file: str, limit: int, stall_seconds: float = 30.0, allow_private: bool = False) -> str:
    """Download an address into a file; return an error message, "" for success.

    Args:
        address: An http or https address.
        file: The file to write.
        limit: The largest size, in bytes.
        stall_seconds: How long the server may send nothing.
        allow_private: Also connect to addresses that are not public.
    """
    opener = urllib.request.OpenerDirector()  # not build_opener, whose handlers also read local files
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
    request = urllib.request.Request(address, headers={"User-Agent": "videoniah", "Accept-Encoding": "identity"})
    try:
        with opener.open(request, timeout=stall_seconds) as response, open(file, "wb") as out:
            return _copy_body(response, out, limit)
    except urllib.error.HTTPError as error:
        reason = str(error.reason).splitlines()[0] if error.reason else ""
        return f"the server answers {error.code}: {reason}"
    except NotPublic as error:
        return str(error)
    except urllib.error.URLError as error:
        if isinstance(error.reason, NotPublic):
            return str(error.reason)
        return f"it cannot be fetched ({error})"
    except (OSError, HTTPException, ValueError) as error:  # ValueError: an invalid address
        return f"it cannot be fetched ({error})"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Refuse redirects to another scheme than http and https, and from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in SCHEMES or (before == "https" and after != "https"):
            raise urllib.error.URLError(f"it redirects from {before} to {after}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _copy_body(response: Any, out: Any, limit: int) -> str:
    """Copy the body of a response; return an error message, "" for success."""
    length = response.headers.get("Content-Length")
    promised = int(length) if length is not None and length.isdigit() else None
    if promised is not None and promised > limit:
        return f"it has {promised:,} bytes, {limit:,} are allowed (limit_gib)"
    written = 0
    while block := response.read1(BLOCK):
        written += len(block)
        if written > limit:
            return f"it has more than the {limit:,} bytes that are allowed (limit_gib)"
        out.write(block)
    if promised is not None and written != promised:
        return f"it is incomplete: {written:,} of {promised:,} bytes arrived"
    return "" if written else "it is empty"


def _download(address: str, file: Path, downloads: Downloads, what: str) -> None:
    """Transfer a file in another process, which is killed after `downloads.seconds`."""
    to_stderr(f"downloading {_without_secrets(address)}\n")
    bounds = (int(downloads.limit_gib * 2**30), downloads.stall_seconds, downloads.allow_private)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    with replacing(file) as temporary:
        order = json.dumps([address, str(temporary), *bounds])  # sent on stdin, because an address may be signed
        try:
            done = subprocess.run(
                [sys.executable, "-m", "niah.suite.downloads"],
                input=order, env=environment, text=True, capture_output=True, timeout=downloads.seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise UserError(
                f"{what}: it did not arrive within {downloads.seconds:g} seconds; raise downloads: seconds, or "
                "download it and name the file"
            ) from None
        problem = done.stdout.strip()
        if done.returncode != 0:
            problem = f"the download failed: {done.stderr.strip()[-200:]}"
        if problem:
            raise UserError(f"{what}: {problem}; fix the address, or download it and name the file")


def _downloads_folder() -> Path:
    return cache_folder() / "downloads"


def _without_secrets(address: str) -> str:
    """Return an address without the parts that may be secret: user, password, query."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


if __name__ == "__main__":
    sys.stdout.write(transfer(*json.loads(sys.stdin.read())))
