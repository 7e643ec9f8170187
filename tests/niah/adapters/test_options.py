"""Settings of released models: counts, sizes, dtypes and devices are refused in words before anything is loaded."""

from dataclasses import dataclass

import pytest
import torch

from niah.adapters.options import bytes_of_gib, check_device, make_store, read_options, resolve_dtype
from niah.settings import positive_int
from niah.types import UserError


@dataclass(frozen=True)
class Two:
    ratio: int = 1
    frames: int = 2


def test_an_unknown_option_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="no option of thing is called 'ratios'. Did you mean 'ratio'"):
        read_options(Two, "thing", {"ratios": 3})
    assert read_options(Two, "thing", {"ratio": 3}) == Two(3, 2)


@pytest.mark.parametrize("value", ["many", 0, 1.0, True, None])
def test_a_count_is_a_whole_number_from_1_on(value):
    with pytest.raises(UserError, match="max_frames must be a whole number from 1 up"):
        positive_int("max_frames", value)
    assert positive_int("max_frames", 1) == 1


@pytest.mark.parametrize("value", ["much", -1, True, float("inf")])
def test_a_size_is_a_number_from_0_on(value):
    with pytest.raises(UserError, match="store_gib must be a number of GiB"):
        bytes_of_gib("store_gib", value)
    assert bytes_of_gib("store_gib", 0.5) == 1 << 29


def test_a_store_without_room_is_none():
    assert make_store(0, 0) is None and make_store(0, 1) is not None


def test_auto_is_a_wide_dtype_on_a_cpu_and_the_models_own_on_a_gpu():
    assert resolve_dtype("auto", "cpu", torch.float16) == torch.float32
    assert resolve_dtype("auto", "cuda:1", torch.float16) == torch.float16
    assert resolve_dtype("bfloat16", "cpu", torch.float16) == torch.bfloat16
    with pytest.raises(UserError, match="dtype must be auto, float32"):
        resolve_dtype("int4", "cpu", torch.float16)


def test_a_device_that_is_not_there_is_refused():
    assert check_device("cpu") == "cpu"
    with pytest.raises(UserError, match="no device 'abacus' is at hand"):
        check_device("abacus")
