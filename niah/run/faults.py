"""Tell apart what a device fails of: too little memory, which a smaller case may pass, or a fault that stays.

After an illegal memory access or a failed assertion every later call of the same process fails too, so that only a new
process can go on. The words are those of PyTorch, CUDA, cuDNN, cuBLAS and ROCm.
"""

from __future__ import annotations

import re
import sys

# Libraries that find no memory for their workspace report it as their own status. PyTorch's allocator, about to report
# that memory ran out, asks NVML for what is free and asserts that it answers, which it does not in some containers.
_OUT_OF_MEMORY = re.compile(
    r"out of memory|can(?:'|no)t allocate memory"
    r"|(?:CUBLAS|CUDNN|CUSOLVER|CUSPARSE)_STATUS_ALLOC_FAILED|NVML_SUCCESS ==",
    re.IGNORECASE,
)
_DEVICE_LOST = re.compile(
    r"(?:CUDA|HIP|cuDNN)(?: driver| kernel)? error|device-side assert|(?:CUBLAS|CUDNN|CUSOLVER|CUSPARSE)_STATUS_"
    r"|unspecified launch failure|NCCL error",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an error means that memory, of the host or the device, ran out."""
    names = [kind.__name__ for kind in type(error).__mro__]
    if isinstance(error, MemoryError) or any("OutOfMemory" in name for name in names):
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


def is_device_lost(error: BaseException) -> bool:
    """Return True if an error means that this process cannot use its device any more."""
    if is_out_of_memory(error) or not isinstance(error, RuntimeError):
        return False
    return "AcceleratorError" in type(error).__name__ or _DEVICE_LOST.search(str(error)) is not None


def free_device_memory() -> None:
    """Give memory that no tensor holds back to the devices, where torch uses any."""
    torch = sys.modules.get("torch")  # an adapter without torch is not made to import it
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
