"""Errors of a device are recognised by the words that PyTorch and CUDA's libraries use."""

import pytest

from niah.run.faults import is_device_lost, is_out_of_memory
from tests.helpers.fake_adapters import ERRORS


class AcceleratorError(RuntimeError):
    """Named as torch names the errors of a device's runtime."""


NVML = (
    "NVML_SUCCESS == DriverAPI::get()->nvmlInit_v2_() INTERNAL ASSERT FAILED at "
    '"../c10/cuda/CUDACachingAllocator.cpp":963, please report a bug to PyTorch.'
)
MEMORY = [
    ERRORS["host"],
    ERRORS["device"],
    ERRORS["words"],
    RuntimeError("CUDA error: out of memory"),
    AcceleratorError(
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call"
    ),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError(NVML),
]
LOST = [
    AcceleratorError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with `TORCH_USE_CUDA_DSA`"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx( handle, opa, opb)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("HIP error: invalid device function"),
]
NEITHER = [
    RuntimeError("shapes differ"),
    ValueError("out of memory"),  # a model's words about memory are not the machine's
    ValueError("CUDA error: an illegal memory access was encountered"),
    KeyError("cuda"),
]


@pytest.mark.parametrize("error", MEMORY, ids=str)
def test_memory_ran_out(error):
    assert (is_out_of_memory(error), is_device_lost(error)) == (True, False)


@pytest.mark.parametrize("error", LOST, ids=str)
def test_device_is_lost_to_this_process(error):
    assert (is_out_of_memory(error), is_device_lost(error)) == (False, True)


@pytest.mark.parametrize("error", NEITHER, ids=str)
def test_error_is_the_models_own(error):
    assert (is_out_of_memory(error), is_device_lost(error)) == (False, False)
