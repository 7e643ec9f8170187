"""Fetch listed files: those that are here are checked, the others downloaded part by part and joined.

Everything can be repeated: finished files and finished parts are kept, a part that was cut is gone on with.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from niah.io import replacing
from niah.tools.fetch.footage_list import FilePart, ListedFile
from niah.tools.fetch.transfer import Patience, TransferError, download, file_sha256
from niah.types import UserError

BASE = "https://raw.githubusercontent.com"  # /OWNER/NAME/COMMIT/PATH
PARTS = ".parts"  # the folder of finished and unfinished parts, below that of the footage


@dataclass(frozen=True)
class Fetch:
    """Where files come from and go to.

    Args:
        folder: Of the footage.
        list_path: The list, for messages.
        base: The address below which OWNER/NAME/COMMIT/PATH is found.
        patience: How long to wait for a server.
        advance: Called with the bytes that arrived.
    """

    folder: Path
    list_path: Path
    base: str = BASE
    patience: Patience = field(default_factory=Patience)
    advance: Callable[[int], object] = lambda count: None

    def missing(self, files: Sequence[ListedFile]) -> list[ListedFile]:
        """Return the files that are not here, or not whole."""
        return [file for file in files if not is_whole(self.folder / file.file, file)]

    def copy(self, files: Sequence[ListedFile], source: Path) -> list[ListedFile]:
        """Copy what a folder holds, found by size and hash whatever it is called; return what it does not hold."""
        by_size: dict[int, list[Path]] = {}
        for parent, _, names in os.walk(source):
            for path in (Path(parent, name) for name in names):
                if path.is_file():
                    by_size.setdefault(path.stat().st_size, []).append(path)
        left = []
        for file in files:
            found = next((path for path in by_size.get(file.bytes, ()) if file_sha256(path) == file.sha256), None)
            if found is None:
                left.append(file)
                continue
            path = self.folder / file.file
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                shutil.copyfile(found, temporary)
            self.advance(file.bytes)
        return left

    def get(self, file: ListedFile) -> None:
        """Download the parts of a file, join them and check the result. Raises UserError saying what to do."""
        parts = [self._part(file, part) for part in file.parts]
        path = self.folder / file.file
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            with open(temporary, "wb") as out:
                for part in parts:
                    with open(part, "rb") as source:
                        shutil.copyfileobj(source, out)
            found = file_sha256(temporary)
            if found != file.sha256:
                raise UserError(
                    f"{file.file}: its parts are right and their concatenation is not (SHA-256 {found[:16]}… and not "
                    f"{file.sha256[:16]}…): the list {self.list_path} is wrong; restore it"
                )
        for part in parts:
            part.unlink(missing_ok=True)

    def _part(self, file: ListedFile, part: FilePart) -> Path:
        """Return the path of a part, downloaded unless it is here."""
        path = self.folder / PARTS / part.sha256
        if path.is_file():
            self.advance(part.bytes)
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        address = f"{self.base}/{file.repository}/{file.commit}/{part.path}"
        try:
            download(address, part, path, self.patience, self.advance)
        except TransferError as error:
            raise UserError(
                f"{file.file}: {address} cannot be had: {error}. The same command goes on from here. By hand: the list "
                f"{self.list_path} names each repository, commit and part; put the joined files into {self.folder}, or "
                "name a folder that holds them with --from FOLDER"
            ) from None
        return path


def is_whole(path: Path, file: ListedFile) -> bool:
    """Return True if a file is here and has the listed bytes."""
    return path.is_file() and path.stat().st_size == file.bytes and file_sha256(path) == file.sha256
