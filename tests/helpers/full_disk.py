"""A disk that takes the beginning of a file and no more."""

import errno
import os


def fill_disk(monkeypatch):
    """Let every file that is written from now on fail after three bytes."""
    really = os.fdopen

    def full(descriptor, mode="r", **more):
        if "w" not in mode:
            return really(descriptor, mode, **more)
        os.write(descriptor, b"---")
        os.close(descriptor)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
