"""Download one part of a listed file: resumed where it was cut, bounded in size and time, checked by its hash."""

from __future__ import annotations

import hashlib
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from niah.tools.fetch.footage_list import FilePart
from niah.types import UserError

BLOCK = 1 << 16
ATTEMPTS = 4  # in which nothing new arrives; one that brings bytes does not count


class TransferError(UserError):
    """A part did not arrive; the message says why."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server."""

    stall_seconds: float = 30.0  # without a byte
    slowest: float = 2048.0  # bytes a second over a whole attempt, below which it is given up
    pause_seconds: float = 1.0  # before another attempt, doubled each time


def download(
    address: str, part: FilePart, path: Path, patience: Patience, advance: Callable[[int], object] = lambda count: None
) -> None:
    """Download a part into `path`, from where an earlier download of it was cut. Raises TransferError.

    Args:
        address: Where it lies.
        part: Its hash and size; not a byte more is written.
        path: The finished file; until then it is `path`.partial, which a later call goes on with.
        patience: How long to wait.
        advance: Called with the bytes that arrived.
    """
    partial = path.with_name(f"{path.name}.partial")
    fruitless = 0
    advance(partial.stat().st_size if partial.exists() else 0)
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        problem = "" if before >= part.bytes else _attempt(address, part, partial, patience, advance)
        if not problem:
            break
        grown = partial.exists() and partial.stat().st_size > before
        fruitless = 0 if grown else fruitless + 1
        if fruitless == ATTEMPTS or "answers 4" in problem:
            raise TransferError(problem)
        time.sleep(patience.pause_seconds * 2**fruitless)
    found = file_sha256(partial)
    if found != part.sha256:
        partial.unlink()  # resuming would keep what is wrong
        raise TransferError(f"its SHA-256 is {found[:16]}… and not {part.sha256[:16]}…: it is not the listed file")
    os.replace(partial, path)


def _attempt(address: str, part: FilePart, partial: Path, patience: Patience, advance: Callable[[int], object]) -> str:
    """Append what one request brings; return why it is not all, "" if it is."""
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "videoniah", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    deadline = time.monotonic() + patience.stall_seconds + (part.bytes - have) / patience.slowest
    try:
        request = urllib.request.Request(address, headers=headers)
        with urllib.request.urlopen(request, timeout=patience.stall_seconds) as response:
            resumed = have and response.status == 206
            if have and not resumed:
                advance(-have)  # the server sends all of it again
            with open(partial, "ab" if resumed else "wb") as out:
                return _copy(response, out, part.bytes - (have if resumed else 0), deadline, advance)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the partial file is longer than what is there
            partial.unlink(missing_ok=True)
        return f"the server answers {error.code} ({error.reason})"
    except (OSError, HTTPException) as error:  # no network, no such host, cut, silent
        return f"{type(error).__name__}: {error}"


def _copy(response, out, wanted: int, deadline: float, advance: Callable[[int], object]) -> str:
    """Copy a body of `wanted` bytes; return why it is not that, "" if it is."""
    while wanted > 0:
        if time.monotonic() > deadline:
            return "the server is too slow"
        block = response.read1(min(BLOCK, wanted))
        if not block:
            return f"the connection was cut, {wanted:,} bytes before the end"
        out.write(block)
        advance(len(block))
        wanted -= len(block)
    return ""


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
