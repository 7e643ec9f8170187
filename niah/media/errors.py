"""The error for a video file that cannot be used: the file, the cause and a remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Union

from niah.types import UserError

REENCODE = "re-encode it (ffmpeg -i {name} -c:v libx264 -an repaired.mp4) and use the new file"


class MediaError(UserError):
    """A video file cannot be used; the message names the file, the cause and what to do."""

    def __init__(self, path: Union[str, Path], cause: str, remedy: str) -> None:
        super().__init__(str(path), cause, remedy)
        self.path = str(path)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.path}: {self.cause}; {self.remedy}"


def reencode(path: Union[str, Path]) -> str:
    """Return the remedy for a damaged or unusual file: the command that re-encodes it."""
    return REENCODE.format(name=Path(path).name)
