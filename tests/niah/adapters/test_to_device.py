"""Copies to a card come from pinned memory, on a stream of their own, and computing waits for them; a stand-in logs."""

import contextlib

import torch

from niah.adapters import to_device as module
from niah.adapters.to_device import to_device


def test_on_a_cpu_it_is_the_same_tensor():
    host = torch.arange(3)
    assert to_device(host, "cpu") is host


def test_on_a_card_computing_waits_for_the_copy_and_holds_its_memory(monkeypatch):
    log = []

    class Stream:
        def __init__(self, name="copying"):
            self.name = str(name)

        def wait_stream(self, other):
            log.append(f"{self.name} waits for {other.name}")

    class Host:
        """What is copied, and what arrives."""

        def pin_memory(self):
            log.append("pin")
            return self

        def to(self, device, non_blocking):
            log.append(f"copy to {device}, {'does not block' if non_blocking else 'blocks'}")
            return self

        def record_stream(self, stream):
            log.append(f"memory is held for {stream.name}")

    @contextlib.contextmanager
    def on(stream):
        log.append(f"on {stream.name}")
        yield
        log.append(f"off {stream.name}")

    module._copy_stream.cache_clear()
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("computing"))
    monkeypatch.setattr(torch.cuda, "stream", on)
    host = Host()
    assert to_device(host, "cuda:1") is host
    module._copy_stream.cache_clear()
    assert log == [
        "on copying", "pin", "copy to cuda:1, does not block", "off copying", "computing waits for copying",
        "memory is held for computing",
    ]  # fmt: skip
