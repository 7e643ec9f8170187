"""What can be wrong with a video file: always the file, the cause and a remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Union

from niah.types import UserError

REENCODE = "re-encode it (ffmpeg -i {name} -c:v libx264 -an repaired.mp4) and use the new file"


class MediaError(UserError):
    """A file cannot be used: names it, says why, and what to do."""

    def __init__(self, path: Union[str, Path], cause: str, remedy: str) -> None:
        super().__init__(str(path), cause, remedy)
        self.path, self.cause, self.remedy = str(path), cause, remedy

    def __str__(self) -> str:
        return f"{self.path}: {self.cause}; {self.remedy}"


def reencode(path: Union[str, Path]) -> str:
    """Say how to make a sound copy of a damaged or odd file."""
    return REENCODE.format(name=Path(path).name)
