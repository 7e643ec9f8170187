"""Copy what lies in host memory to the device while both compute.

From ordinary memory a copy to a GPU waits for everything that was queued before it, and the caller waits with it. From
pinned memory, on a stream of its own, neither does.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from niah.adapters.trace import is_traced


def to_device(host: Tensor, device: str | torch.device) -> Tensor:
    """Return a tensor on a device, where whatever is queued next finds it complete."""
    device = torch.device(device)
    if device.type != "cuda" or is_traced():
        return host.to(device)
    copying, computing = _copy_stream(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(copying):
        arrived = host.pin_memory().to(device, non_blocking=True)
    computing.wait_stream(copying)
    arrived.record_stream(computing)  # which reads it after this stream has let go of its memory
    return arrived


@lru_cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the one stream that copies to a device."""
    return torch.cuda.Stream(device)
