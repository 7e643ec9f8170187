"""worker.log: what a worker and its model print, kept to its end and bounded in size."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

from niah.io import open_to_append, opened_folder
from niah.types import UserError

MAX_LOG_BYTES = 1 << 20  # of worker.log, and of worker.log.1


def copy_to_log(stream: BinaryIO, log: Path) -> None:
    """Append what a worker writes to its log, and go on reading so that the worker never blocks.

    A full log becomes worker.log.1: the end of the output is kept, and its size is bounded.
    """
    name = log.name
    with stream, opened_folder(log.parent) as folder:  # held: a link in its place must not choose what is appended to
        while data := stream.read(1 << 13):
            with contextlib.suppress(OSError, UserError):  # a full disk costs the log, not the run
                descriptor = open_to_append(Path(name), folder)
                if os.fstat(descriptor).st_size > MAX_LOG_BYTES:
                    os.close(descriptor)
                    os.replace(name, f"{name}.1", src_dir_fd=folder, dst_dir_fd=folder)
                    descriptor = open_to_append(Path(name), folder)
                with os.fdopen(descriptor, "ab") as file:
                    file.write(data)
