"""`python -m niah.adapters.device_faults DEVICE`: check that faults of a real device are recognised.

The last check breaks this process's device for good, so it comes last and the command is a process of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch

from niah.adapters.bench import cap_memory
from niah.run.faults import free_device_memory, is_device_lost, is_out_of_memory
from niah.terminal import to_stdout

TOO_MUCH = 1 << 50  # bytes
CAP_GIB = 1.0


def memory_runs_out(device: str) -> bool:
    """Allocate too much; return True if that counts as out of memory and the device can still be used."""
    if not is_out_of_memory(_error_of(lambda: torch.empty(TOO_MUCH, dtype=torch.uint8, device=device))):
        return False
    free_device_memory()
    return float(torch.ones(3, device=device).sum()) == 3


def cap_holds(device: str) -> bool:
    """Cap this process; return True if twice as much is out of memory and half as much is not."""
    cap_memory(device, CAP_GIB)
    size = int(CAP_GIB * 2**30)
    beyond = _error_of(lambda: torch.empty(2 * size, dtype=torch.uint8, device=device))
    return is_out_of_memory(beyond) and torch.empty(size // 2, dtype=torch.uint8, device=device).numel() == size // 2


def assertion_is_a_lost_device(device: str) -> bool:
    """Index past the end of a tensor; return True if that counts as a lost device, and every later call fails."""

    def index() -> None:
        torch.zeros(4, device=device)[torch.tensor([10], device=device)].cpu()

    return is_device_lost(_error_of(index)) and is_device_lost(_error_of(lambda: torch.ones(3, device=device).cpu()))


ON_GPU = (memory_runs_out, cap_holds, assertion_is_a_lost_device)
ANYWHERE = (memory_runs_out,)


def main(device: str) -> int:
    """Print a line for each check; return 1 if one fails."""
    failed = 0
    for check in ON_GPU if device.startswith("cuda") else ANYWHERE:
        passed = check(device)
        failed += not passed
        to_stdout(f"{check.__name__}: {'passed' if passed else 'FAILED'}\n")
        sys.stdout.flush()
    return min(failed, 1)


def _error_of(call: Callable[[], object]) -> BaseException:
    """Return the error that a call ends with. Raises AssertionError where it ends without."""
    try:
        call()
    except RuntimeError as error:
        return error
    raise AssertionError("a call that must fail did not")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
